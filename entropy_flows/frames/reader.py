"""Frames of a file, one after the other: cells, or the reason why one cannot be used.

A format is a way to cut a file into raw frames, and one to build a cell of such. Cutting is cheap,
so frames that are not asked for cost little, and a file of any length needs the memory of one
frame.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from entropy_flows.faults import is_machine_fault
from entropy_flows.frames.kinds import FrameFormat, format_of
from entropy_flows.geometry import periodicity_defect
from entropy_flows.params import screenful


@dataclass(frozen=True, eq=False)
class Frame:
    """A frame of a file.

    Attributes
    ----------
    source
        The file.
    index
        Number of the frame in the file, from 0.
    atoms
        The cell; None if it cannot be used.
    defect
        Why it cannot be used.
    """

    source: str
    index: int
    atoms: Atoms | None = None
    defect: str | None = None

    @property
    def location(self) -> str:
        """File and number, for people: "md.extxyz[12]"."""
        return f"{self.source}[{self.index}]"


def read_frames(
    path: Path,
    species: Sequence[str] | None = None,
    indices: Collection[int] | None = None,
    with_labels: bool = False,
    periodic: bool = True,
) -> Iterator[Frame]:
    """Read frames of a file of any format that ASE reads.

    Parameters
    ----------
    path
        The file, as it is or compressed by gzip, bzip2, xz or zstd.
    species
        Elements of the types 1, 2, … of a LAMMPS dump that does not name them.
    indices
        Numbers of the frames that are read; None for all.
    with_labels
        Whether energies, forces, stresses and everything else of the frame is read, too.
    periodic
        Whether a frame has to be periodic in three directions, as a cell that is labelled.

    Yields
    ------
    Frame
        One frame after the other. What is damaged in the middle ends with a frame that says so.

    Raises
    ------
    ValueError
        If there is no such file, or it is of no format that can be read.
    """
    frames = format_of(path, species)
    build = frames.build_labelled if with_labels else frames.build
    last = None if indices is None else max(indices, default=-1)
    for index, raw in _numbered(path, frames):
        if last is not None and index > last:
            return
        if isinstance(raw, Exception):
            yield Frame(str(path), index, defect=_one_line(raw))
        elif indices is None or index in indices:
            yield _built(path, index, raw, build, periodic)


def count_frames(path: Path, species: Sequence[str] | None = None) -> int:
    """Count the frames of a file, those that cannot be used among them.

    Errors are those of `read_frames`.
    """
    return sum(1 for _ in _numbered(path, format_of(path, species)))


def _numbered(path: Path, frames: FrameFormat) -> Iterator[tuple[int, Any]]:
    """Yield raw frames with their numbers; an error in the file is the last of them."""
    number = 0
    try:
        for raw in frames.cut(path):
            yield number, raw
            number += 1
    except Exception as err:  # parsers stumble in many ways
        if is_machine_fault(err):
            raise
        if number == 0:
            raise ValueError(f"{path} is not readable: {_one_line(err)}") from None
        yield number, ValueError(f"the file is damaged or cut off here: {_one_line(err)}")
    if number == 0:
        raise ValueError(f"{path} has no frames")


def _built(
    path: Path, index: int, raw: Any, build: Callable[[Any], Atoms], periodic: bool
) -> Frame:
    try:
        atoms = build(raw)
    except Exception as err:  # parsers stumble in many ways
        if is_machine_fault(err):
            raise
        return Frame(str(path), index, defect=_one_line(err))
    defect = cell_defect(atoms, periodic)
    return Frame(str(path), index, None if defect else atoms, defect)


def cell_defect(atoms: Atoms, periodic: bool = True) -> str | None:
    """Return why a cell cannot be used; None if it can.

    Parameters
    ----------
    atoms
        The cell.
    periodic
        Whether it has to be periodic in three directions.
    """
    if len(atoms) == 0:
        return "it has no atoms"
    if periodic and (defect := periodicity_defect(atoms)):
        return defect
    if not np.isfinite(atoms.cell.array).all():
        return "the cell has a number that is not finite"
    if not np.isfinite(atoms.positions).all():
        return "a position is not a finite number"
    if atoms.numbers.min() < 1:
        index = int(np.argmin(atoms.numbers))
        return f"atom {index} has no element"
    return None


def _one_line(err: Exception) -> str:
    if isinstance(err, ValueError) and str(err):
        return screenful(str(err))
    return screenful(f"{type(err).__name__}: {err}")
