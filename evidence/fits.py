"""Students that are linear in features which are computed once for all pools of a system.

`linear` and `gp` are those of `entropy-flows bench-selectors`. After `delta, ` they learn the
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
from pool_cells import PoolCells

from entropy_flows.bench.design import Design, store_design
from entropy_flows.bench.params import REGRESSIONS, BenchParams
from entropy_flows.bench.pool import LabelledPool
from entropy_flows.bench.regression import RegressionStudent
from entropy_flows.train import energy_per_atom

DELTA = "delta, "
"""Begin of the name of a fit to the difference between the labels and SevenNet-0's."""
FITS = (*REGRESSIONS, *(DELTA + name for name in REGRESSIONS))
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

    @classmethod
    def of(cls, name: str, pools: PoolCells, base: PoolCells, folder: Path) -> Fits:
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
        """
        kind = name.removeprefix(DELTA)
        params = BenchParams(pool="pools", students=(kind,), sizes=(1,))
        file = folder / f"design-{kind}-{len(pools.frames)}.npy"
        if not file.is_file():
            store_design(file, pools.frames, params.regression, kind, forces=True)
        energies, forces = _labels(pools)
        if name.startswith(DELTA):
            base_energies, base_forces = _labels(base)
            energies = energies - base_energies
            forces = [a - b for a, b in zip(forces, base_forces, strict=True)]
        pool = LabelledPool([], energies, {}, ("energy", "meV/atom"), pools.frames, forces)
        return cls(name, params, pool, Design.load(file))

    def point(self, train: Sequence[Atoms], tests: Mapping[str, Sequence[Atoms]]) -> dict[str, Any]:
        """Fit to cells, and return the errors on each test and the CPU time."""
        started = time.process_time()
        student = RegressionStudent.trained(self.pool, self.design, self.params, _indices(train))
        errors = {
            test: kept(student.test(_indices(cells))["errors"]) for test, cells in tests.items()
        }
        return {"errors": errors, "cpu_seconds": round(time.process_time() - started, 1)}


def _labels(pools: PoolCells) -> tuple[np.ndarray, list[np.ndarray]]:
    energies = np.array([energy_per_atom(atoms) for atoms in pools.frames])
    return energies, [atoms.get_forces() for atoms in pools.frames]


def _indices(cells: Sequence[Atoms]) -> list[int]:
    return [atoms.info["index"] for atoms in cells]


def kept(values: dict[str, Any]) -> dict[str, float]:
    """Return the errors that the tables may show, in six digits."""
    return {name: float(f"{values[name]:.6g}") for name in KEPT if values.get(name) is not None}
