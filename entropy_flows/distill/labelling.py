"""Labels by the teacher, kept in a folder piece by piece: a killed run goes on behind the last.

A piece is a file of labelled cells of one kind. It is there as a whole or not at all, and its cells
follow from the task alone, so that one made twice is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write

from entropy_flows.batch import Batch
from entropy_flows.conventions import to_voigt
from entropy_flows.files import replacing
from entropy_flows.potentials import BatchModel

BATCH_ATOMS = 160
"""Atoms of the cells that one call of the teacher labels, about."""
LARGEST_FORCE = 80.0
"""Largest force (eV/Å) of a cell to train on: beyond, no teacher was trained, and ZBL is there."""


def labelled(cells: Sequence[Atoms], teacher: BatchModel) -> list[Atoms]:
    """Return copies of cells with the teacher's energy, forces and, where it has one, stress.

    Cells with a result that is not finite, or with a force above `LARGEST_FORCE`, are left out.
    """
    good = []
    for batch in batches(cells):
        result = teacher(Batch.of(batch, teacher.device))
        energies = result.energy.cpu().numpy()
        forces = np.split(
            result.forces.cpu().numpy(), np.cumsum([len(cell) for cell in batch])[:-1]
        )
        stresses = None if result.stress is None else result.stress.cpu().numpy()
        for index, cell in enumerate(batch):
            stress = None if stresses is None else to_voigt(stresses[index])
            frame = _frame(cell, float(energies[index]), forces[index], stress)
            if frame is not None:
                good.append(frame)
    return good


def batches(cells: Sequence[Atoms]) -> Iterator[list[Atoms]]:
    """Yield the cells in groups that the teacher labels in one call."""
    batch: list[Atoms] = []
    for cell in cells:
        if batch and sum(map(len, batch)) + len(cell) > BATCH_ATOMS:
            yield batch
            batch = []
        batch.append(cell)
    if batch:
        yield batch


def read_or_make(path: Path, make: Callable[[], list[Atoms]]) -> list[Atoms]:
    """Read the labelled cells of a file; they are made and written first if there is none."""
    if not path.is_file():
        frames = make()
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            # ASE writes no file of no cells
            temporary.touch()
            if frames:
                write(temporary, frames, format="extxyz")
    content: Any = read(path, index=":", format="extxyz") if path.stat().st_size else []
    return list(content)


def _frame(cell: Atoms, energy: float, forces: Any, stress: Any) -> Atoms | None:
    """Return a labelled copy of a cell; None if its label will not do."""
    results = {"energy": energy, "forces": forces}
    if stress is not None and np.isfinite(stress).all():
        results["stress"] = stress
    if not np.isfinite(energy) or not np.isfinite(forces).all():
        return None
    if np.linalg.norm(forces, axis=1).max() > LARGEST_FORCE:
        return None
    frame = Atoms(cell.numbers, cell.positions, cell=cell.cell, pbc=cell.pbc)
    frame.calc = SinglePointCalculator(frame, **results)
    return frame
