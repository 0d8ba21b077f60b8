"""Students that are linear in features which are computed once for all pools of a system.

`linear` and `gp` are those of `entropy-flows bench-selectors`. `large gp` has more landmarks: of
`gp` they set the error from some 100 cells on (`capacity.py`). After `delta, ` each learns the
difference to SevenNet-0: a foundation model that stays as it is, with a correction.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from pool_cells import PoolCells

from entropy_flows.bench.design import Design, cell_rows, feature_maps, store_design
from entropy_flows.bench.params import REGRESSIONS, BenchParams
from entropy_flows.bench.pool import LabelledPool
from entropy_flows.bench.power_spectrum import PowerSpectrum
from entropy_flows.bench.regression import RegressionStudent
from entropy_flows.conventions import VOIGT, Array
from entropy_flows.train import energy_per_atom

DELTA = "delta, "
"""Begin of the name of a fit to the difference between the labels and SevenNet-0's."""
LARGE = "large gp"
LANDMARKS = {LARGE: 1200}
FITS = (*REGRESSIONS, LARGE, *(DELTA + name for name in (*REGRESSIONS, LARGE)))
STRAIN = 1e-3
"""Strain of the stress' central differences."""
KEPT = ("n", "energy_mae", "energy_rmse", "forces_mae", "forces_rmse", "stress_mae")


@dataclass(frozen=True)
class Fits:
    """A fit's pool, with its labels or differences, and the features of all cells.

    Attributes
    ----------
    name
        One of `FITS`.
    """

    name: str
    params: BenchParams
    pool: LabelledPool
    design: Design

    @property
    def kind(self) -> str:
        """Kind of features: "linear" or "gp"."""
        return self.params.students[0]

    @classmethod
    def of(
        cls,
        name: str,
        pools: PoolCells,
        base: PoolCells,
        folder: Path,
        landmarks: int | None = None,
    ) -> Fits:
        """Compute the features if they are not there; labels have no part in them.

        The basis is drawn from all pools that are there. With more of them it is another one.

        Parameters
        ----------
        name
            One of `FITS`.
        pools, base
            Cells with the teacher's labels, and the same with SevenNet-0's.
        folder
            Where the features are kept.
        landmarks
            Number of them, if it is not the benchmark's.
        """
        student = name.removeprefix(DELTA)
        kind = "gp" if student == LARGE else student
        landmarks = landmarks or LANDMARKS.get(student)
        regression = {} if landmarks is None else {"landmarks": landmarks}
        params = BenchParams.model_validate(
            {"pool": "pools", "students": [kind], "sizes": [1], "regression": regression}
        )
        size = f"{kind}-{landmarks}" if landmarks else kind
        file = folder / f"design-{size}-{len(pools.frames)}.npy"
        if not file.is_file():
            store_design(file, pools.frames, params.regression, kind, forces=True)
        energies, forces = _labels(pools)
        if name.startswith(DELTA):
            base_energies, base_forces = _labels(base)
            energies = energies - base_energies
            forces = [a - b for a, b in zip(forces, base_forces, strict=True)]
        pool = LabelledPool([], energies, {}, ("energy", "meV/atom"), pools.frames, forces)
        return cls(name, params, pool, Design.load(file))

    def point(
        self,
        train: Sequence[Atoms],
        tests: Mapping[str, Sequence[Atoms]],
        weights: Array | None = None,
    ) -> dict[str, Any]:
        """Fit to cells of these weights (n,), and return the errors on each test, and CPU time."""
        started = time.process_time()
        student = RegressionStudent.trained(
            self.pool, self.design, self.params, _indices(train), weights
        )
        errors = {
            test: kept(student.test(_indices(cells))["errors"]) for test, cells in tests.items()
        }
        return {"errors": errors, "cpu_seconds": round(time.process_time() - started, 1)}


class FitCalculator(Calculator):
    """A fit as an ASE calculator; stresses by central differences of the energy.

    Parameters
    ----------
    fits
        The pool that the features were drawn from. A fit to differences is not taken.
    student
        The fit.
    """

    def __init__(self, fits: Fits, student: RegressionStudent) -> None:
        super().__init__()
        self.implemented_properties = ["energy", "free_energy", "forces", "stress"]
        self._fit = student.fit
        self._shift = student.shift
        self._spectrum = PowerSpectrum(fits.params.regression.power_spectrum, fits.pool.frames)
        self._maps = feature_maps(self._spectrum, fits.params.regression, fits.kind)

    @classmethod
    def of(cls, fits: Fits, train: Sequence[Atoms]) -> FitCalculator:
        """Fit to cells of the pool."""
        cells = _indices(train)
        return cls(fits, RegressionStudent.trained(fits.pool, fits.design, fits.params, cells))

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        """Compute energy and forces, and the stress if it is asked for."""
        super().calculate(atoms, list(properties), list(system_changes))
        cell = self.atoms
        assert cell is not None, "ASE has kept the cell"
        energy, forces = self._evaluate(cell, True)
        self.results = {"energy": energy, "free_energy": energy, "forces": forces}
        if "stress" in properties:
            self.results["stress"] = self._stress(cell)

    def _evaluate(self, cell: Atoms, with_forces: bool) -> tuple[float, Array]:
        rows = cell_rows(cell, self._spectrum, self._maps, with_forces)
        values = rows @ self._fit.coefficients
        energy = len(cell) * (float(values[0]) + self._shift)
        return energy, values[1:].reshape(-1, 3)

    def _stress(self, cell: Atoms) -> Array:
        """Return σ = (1/V) ∂E/∂ε (6,)."""
        stress = np.zeros(6)
        for component, (i, j) in enumerate(VOIGT):
            energies = []
            for sign in (-1, 1):
                strain = np.eye(3)
                strain[i, j] += sign * STRAIN / 2
                strain[j, i] += sign * STRAIN / 2
                strained = cell.copy()
                strained.set_cell(cell.cell @ strain, scale_atoms=True)
                energies.append(self._evaluate(strained, False)[0])
            stress[component] = (energies[1] - energies[0]) / (2 * STRAIN * cell.get_volume())
        return stress


def _labels(pools: PoolCells) -> tuple[np.ndarray, list[np.ndarray]]:
    energies = np.array([energy_per_atom(atoms) for atoms in pools.frames])
    return energies, [atoms.get_forces() for atoms in pools.frames]


def _indices(cells: Sequence[Atoms]) -> list[int]:
    return [atoms.info["index"] for atoms in cells]


def kept(values: dict[str, Any]) -> dict[str, float]:
    """Return the errors that the tables may show, in six digits."""
    return {name: float(f"{values[name]:.6g}") for name in KEPT if values.get(name) is not None}
