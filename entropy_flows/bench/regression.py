"""The students with forces that train in seconds: `linear` and `gp` on power spectra.

`design` has what they are linear in, and `ridge` how strongly they are regularised.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from entropy_flows.bench.design import Design
from entropy_flows.bench.params import BenchParams
from entropy_flows.bench.pool import LabelledPool
from entropy_flows.bench.ridge import Moments, Ridge
from entropy_flows.bench.students import energy_errors
from entropy_flows.conventions import Array
from entropy_flows.evaluate.committee import Calibration

FOLDS = 5


@dataclass(frozen=True)
class RegressionStudent:
    """A fit to energies, and to forces where there are any.

    Attributes
    ----------
    pool
        The labelled pool.
    design
        Rows of its cells.
    fit
        The coefficients.
    shift
        Mean energy (eV/atom) of the cells that it was trained on.
    """

    pool: LabelledPool
    design: Design
    fit: Ridge
    shift: float

    @classmethod
    def trained(
        cls,
        pool: LabelledPool,
        design: Design,
        params: BenchParams,
        cells: Sequence[int],
        weights: Array | None = None,
    ) -> RegressionStudent:
        """Train on some cells of the pool.

        Parameters
        ----------
        pool
            The labelled pool.
        design
            Rows of its cells.
        params
            Settings of the student.
        cells
            Indices of the cells.
        weights
            Weight (n,) of each cell's squared errors; None weighs all alike.
        """
        settings = params.regression
        scales = np.ones(len(cells)) if weights is None else np.sqrt(weights)
        shift = float(np.average(pool.targets[list(cells)], weights=weights))
        by_folds = settings.strength == "folds"
        folds = [Moments.none(design.rows.shape[1]) for _ in range(FOLDS if by_folds else 1)]
        for number, (cell, scale) in enumerate(zip(cells, scales, strict=True)):
            fold = folds[number % len(folds)]
            of_energy = scale / settings.energy_noise
            label = of_energy * (pool.targets[[cell]] - shift)
            fold.add(of_energy * design.energies([cell]), label)
            if params.forces:
                of_force = scale / settings.force_noise
                rows = of_force * design.forces(cell).astype(np.float64)
                fold.add(rows, of_force * pool.forces[cell].ravel())
        return cls(pool, design, Ridge.of(folds, by_folds), shift)

    def spread(self, cells: Sequence[int]) -> Array:
        """Return the standard deviation (n,) of the energies per atom."""
        return self.fit.spread(self.design.energies(cells))

    def test(self, cells: Sequence[int]) -> dict[str, Any]:
        """Return the errors on labelled cells, and whether the energies' spread tells them."""
        predicted = self.design.energies(cells) @ self.fit.coefficients + self.shift
        errors = energy_errors(predicted, self.pool.targets[list(cells)])
        force_rows = [self.design.forces(cell) for cell in cells]
        if len(force_rows[0]):
            labels = np.concatenate([self.pool.forces[cell].ravel() for cell in cells])
            differences = np.concatenate([rows @ self.fit.coefficients for rows in force_rows])
            differences -= labels
            errors["forces_mae"] = float(np.abs(differences).mean())
            errors["forces_rmse"] = float(np.sqrt(np.mean(differences**2)))
        difference = np.abs(predicted - self.pool.targets[list(cells)])
        calibration = Calibration.of(self.spread(cells), difference)
        return {"errors": errors, "calibration": {"energy": calibration.as_dict()}}
