"""How the atoms of cells are packed: nearest neighbours, coordination, Voronoi volumes (Subramanyam 2025, Fig. S1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from ase import Atoms
from scipy.spatial import ConvexHull, Voronoi

from entropy_flows.batch import Batch
from entropy_flows.conventions import Array
from entropy_flows.neighbors import neighbors

CHUNK = 64
"""Cells whose neighbours are searched in one call."""


@dataclass(frozen=True)
class Packing:
    """Of every atom of some cells, cell by cell.

    Attributes
    ----------
    nearest
        Distance of its nearest neighbour (n,) in Å; inf if none is within the reach.
    coordination
        Neighbours within the coordination radius (n,).
    """

    nearest: Array
    coordination: Array


def packing(cells: Sequence[Atoms], radius: float, reach: float) -> Packing:
    """Nearest neighbours and coordination numbers; an atom's own images count.

    Parameters
    ----------
    cells
        Periodic cells.
    radius
        Within which neighbours are counted (Å); Subramanyam 2025 takes 1.2 times the ground state's
        nearest-neighbour distance.
    reach
        How far a nearest neighbour is looked for (Å).
    """
    nearest: list[Array] = [np.zeros(0)]
    counts: list[Array] = [np.zeros(0)]
    for start in range(0, len(cells), CHUNK):
        batch = Batch.of(cells[start : start + CHUNK])
        pairs = neighbors(batch, max(radius, reach))
        r, nothing = (
            pairs.vectors.norm(dim=1),
            torch.full((len(batch.positions),), torch.inf, dtype=torch.float64),
        )
        nearest.append(nothing.scatter_reduce(0, pairs.centers, r, "amin").numpy())
        counts.append(
            np.bincount(pairs.centers.numpy()[r.numpy() < radius], minlength=len(nothing)).astype(
                float
            )
        )
    return Packing(np.concatenate(nearest), np.concatenate(counts))


def voronoi_volumes(atoms: Atoms) -> Array:
    """Volume (n_atoms,) in Å³ of the part of space that is nearer to an atom than to any other.

    Qhull has the diagram of the atoms and all their images within twice the farthest that a point
    can be from an atom, which is at most half the root of the sum of the squares of three lattice
    vectors.
    """
    pairs = neighbors(Batch.of([atoms]), float(np.linalg.norm(atoms.cell.lengths())))
    images = np.unique(
        np.column_stack([pairs.shifts.numpy(), pairs.members.numpy()]).astype(int), axis=0
    )
    others = images[images[:, :3].any(axis=1)]
    around = atoms.positions[others[:, 3]] + others[:, :3] @ atoms.cell.array
    diagram = Voronoi(np.concatenate([atoms.positions, around]))
    regions = [diagram.regions[diagram.point_region[atom]] for atom in range(len(atoms))]
    return np.array([ConvexHull(diagram.vertices[region]).volume for region in regions])
