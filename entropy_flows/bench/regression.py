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
        cls, pool: LabelledPool, design: Design, params: BenchParams, cells: Sequence[int]
    ) -> RegressionStudent:
        """Train on some cells of the pool."""
        settings = params.regression
        shift = float(pool.targets[list(cells)].mean())
        by_folds = settings.strength == "folds"
        folds = [Moments.none(design.rows.shape[1]) for _ in range(FOLDS if by_folds else 1)]
        for number, cell in enumerate(cells):
            fold = folds[number % len(folds)]
            label = (pool.targets[[cell]] - shift) / settings.energy_noise
            fold.add(design.energies([cell]) / settings.energy_noise, label)
            if params.forces:
                rows = design.forces(cell).astype(np.float64) / settings.force_noise
                fold.add(rows, pool.forces[cell].ravel() / settings.force_noise)
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
