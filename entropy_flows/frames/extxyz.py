"""Frames of extended XYZ: the bare cell by a short way, and the long one where that fails.

A pool is read for its cells alone. The short way takes the lattice and the columns of species and
positions, and nothing else; whatever is not as usual goes the long way, which knows what is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers

from entropy_flows.label.extxyz import labelled_cell
from entropy_flows.label.xyz_cell import parse_frame
from entropy_flows.label.xyz_text import FrameError, raw_frames

_LATTICE = re.compile(r'\bLattice="([^"]*)"')
_PROPERTIES = re.compile(r"\bProperties=([\w:-]+)(?:\s|$)")
_PBC = re.compile(r'\bpbc="T T T"')
_THIN = 1.0
"""Å; a cell that is thinner goes the long way, which says whether it can be searched."""


def cut(path: Path) -> Iterator[list[str] | FrameError]:
    """Yield the lines of each frame."""
    return raw_frames(path)


def build_cell(lines: list[str]) -> Atoms:
    """Build the bare cell of a frame's lines.

    Raises
    ------
    FrameError
        If it cannot be used.
    """
    atoms = _usual_cell(lines)
    return parse_frame(lines).atoms if atoms is None else atoms


def build_labelled(lines: list[str]) -> Atoms:
    """Build a frame's cell with its label, other keys and columns.

    A label that cannot be used is left out, the cell stays.
    """
    try:
        return labelled_cell(lines)[0]
    except FrameError:
        return build_cell(lines)


def _usual_cell(lines: list[str]) -> Atoms | None:
    """Build the cell of a frame as most programs write it; None for any other."""
    lattices = _LATTICE.findall(lines[1])
    names = _PROPERTIES.findall(lines[1])
    if len(lattices) != 1 or len(names) != 1 or ("pbc" in lines[1] and not _PBC.search(lines[1])):
        return None
    columns = _columns(names[0])
    rows = [line.split() for line in lines[2:]]
    if columns is None or len(rows) != int(lines[0]) or not lines[-1].endswith("\n"):
        return None
    width, species, first = columns
    try:
        cell = _cell(lattices[0])
        numbers = [atomic_numbers[row[species]] for row in rows]
        positions = np.array(
            [(float(row[first]), float(row[first + 1]), float(row[first + 2])) for row in rows]
        )
    except (ValueError, KeyError, IndexError):
        return None
    is_usual = cell is not None and all(len(row) == width for row in rows)
    if not is_usual or not np.isfinite(positions).all():
        return None
    return Atoms(numbers, positions, cell=cell, pbc=True)


@lru_cache(maxsize=64)
def _columns(properties: str) -> tuple[int, int, int] | None:
    """Return number of columns, that of species, and the first of the positions, from 0."""
    fields = properties.split(":")
    start = 0
    first: dict[str, int] = {}
    for name, kind, width in zip(fields[::3], fields[1::3], fields[2::3], strict=False):
        if not width.isdigit() or name in first:
            return None
        first[name] = start
        start += int(width)
        if (name == "species" and (kind, width) != ("S", "1")) or (
            name == "pos" and (kind, width) != ("R", "3")
        ):
            return None
    if len(fields) % 3 or not {"species", "pos"} <= set(first):
        return None
    return start, first["species"], first["pos"]


@lru_cache(maxsize=64)
def _cell(text: str) -> np.ndarray | None:
    """Return lattice vectors (3, 3) in Å; None for a thin cell, which goes the long way."""
    cell = np.array([float(word) for word in text.split()]).reshape(3, 3)
    volume = abs(float(np.linalg.det(cell)))
    areas = np.linalg.norm(np.cross(cell[[1, 2, 0]], cell[[2, 0, 1]]), axis=1)
    return cell if volume > _THIN * areas.max() else None
