"""Neighbourhoods of every atom of a batch of cells, as flat arrays.

A *row* is one pair (centre i, member j): j runs over all atoms and periodic images with r_ij < cutoff, and over i
itself, which comes first. Rows are ordered by centre; atoms of all cells are numbered through.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.geometry import complete_cell
from matscipy.neighbours import neighbour_list
from numpy.typing import NDArray

from entropy_flows.conventions import Array

Index = NDArray[np.int64]


@dataclass(frozen=True)
class Neighborhoods:
    """Neighbourhoods of n atoms in R rows."""

    centers: Index
    """Atom i of each row (R,)."""
    members: Index
    """Atom j of each row (R,), whichever image of it the row means."""
    vectors: Array
    """r_j − r_i of each row (R, 3), Å; zero for i itself."""
    numbers: Index
    """Atomic number of each atom (n,)."""
    cells: Index
    """Cell of each atom (n,)."""
    sizes: list[int]
    """Atoms in each cell."""


def neighborhoods(cells: Sequence[Atoms], cutoff: float) -> Neighborhoods:
    """Neighbourhoods of all atoms of all cells.

    Positions may lie outside the cell; the cell may be skewed or thinner than the cutoff, and may be periodic in any
    number of directions.

    Raises
    ------
    ValueError
        For a cell without atoms, positions or cell vectors that are not finite, or periodic vectors without a volume.
    """
    sizes = [len(atoms) for atoms in cells]
    first = np.cumsum([0, *sizes])
    parts = [_pairs(atoms, cutoff) for atoms in cells]
    i = np.concatenate([i + start for (i, _, _), start in zip(parts, first, strict=False)])
    j = np.concatenate([j + start for (_, j, _), start in zip(parts, first, strict=False)])
    vectors = np.concatenate([vectors for _, _, vectors in parts])

    # Each centre's own row goes before its pairs: pair p moves down by the i_p + 1 own rows that precede it.
    n = int(first[-1])
    pairs = np.arange(len(i)) + i + 1
    own = np.searchsorted(i, np.arange(n)) + np.arange(n)
    rows = n + len(i)
    centers, members = np.empty(rows, dtype=np.int64), np.empty(rows, dtype=np.int64)
    flat = np.zeros((rows, 3))
    centers[pairs], members[pairs], flat[pairs] = i, j, vectors
    centers[own] = members[own] = np.arange(n)
    return Neighborhoods(
        centers=centers,
        members=members,
        vectors=flat,
        numbers=np.concatenate([atoms.numbers for atoms in cells]).astype(np.int64),
        cells=np.repeat(np.arange(len(sizes)), sizes),
        sizes=sizes,
    )


def _pairs(atoms: Atoms, cutoff: float) -> tuple[Index, Index, Array]:
    """All pairs i, j and r_j − r_i of one cell closer than the cutoff, ordered by i, without i itself."""
    positions, cell = _checked(atoms)
    i, j, vectors = neighbour_list("ijD", positions=positions, cell=cell, pbc=atoms.pbc, cutoff=cutoff)
    return i.astype(np.int64), j.astype(np.int64), vectors


def _checked(atoms: Atoms) -> tuple[Array, Array]:
    """Positions and a cell of full rank, or a ValueError that says what is wrong with them."""
    if len(atoms) == 0:
        raise ValueError("a cell with 0 atoms has no fingerprints; at least 1 atom is needed")
    positions, cell = atoms.positions, np.asarray(atoms.cell[:], dtype=float)
    if not np.isfinite(positions).all():
        worst = int(np.argmin(np.isfinite(positions).all(axis=1)))
        raise ValueError(f"position of atom {worst} is {positions[worst].tolist()}; positions must be finite")
    if not np.isfinite(cell).all():
        raise ValueError(f"cell vectors are {cell.tolist()}; they must be finite")
    periodic = cell[atoms.pbc]
    volume = float(np.sqrt(max(np.linalg.det(periodic @ periodic.T), 0.0)))  # or area, or length; 1 for a molecule
    if not volume > 1e-6 * float(np.prod(np.linalg.norm(periodic, axis=1))):
        raise ValueError(
            f"the periodic vectors of cell {cell.tolist()} span a volume of {volume:g}; it must be positive"
        )
    # Where the cell is not periodic the search still wants a box: one that is orthogonal and just holds the atoms.
    box = complete_cell(np.where(atoms.pbc[:, None], cell, 0.0))
    for axis in np.flatnonzero(~atoms.pbc):
        heights = positions @ box[axis]
        positions = positions - heights.min() * box[axis]
        box[axis] *= np.ptp(heights) + 1.0
    return positions, box
