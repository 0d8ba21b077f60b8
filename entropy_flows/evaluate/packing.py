"""How the atoms of cells are packed (Subramanyam 2025, Fig. S1).

These are nearest neighbours, coordination numbers and Voronoi volumes.
"""

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

BATCH_CELLS = 64
"""Number of cells whose neighbours are searched in one call."""


@dataclass(frozen=True)
class Packing:
    """Neighbours of every atom of some cells, cell by cell.

    Attributes
    ----------
    nearest
        Distance of the nearest neighbour (n,) in Å; inf if none is within reach.
    coordination
        Number of neighbours within the coordination radius (n,).
    """

    nearest: Array
    coordination: Array


def packing(cells: Sequence[Atoms], radius: float, reach: float) -> Packing:
    """Compute nearest neighbours and coordination numbers; an atom's own images count.

    Parameters
    ----------
    cells
        Periodic cells.
    radius
        Distance (Å) within which neighbours are counted. Subramanyam 2025 takes 1.2 times the
        ground state's nearest-neighbour distance.
    reach
        Distance (Å) within which a nearest neighbour is searched.
    """
    nearest: list[Array] = [np.zeros(0)]
    coordination: list[Array] = [np.zeros(0)]
    for start in range(0, len(cells), BATCH_CELLS):
        batch = Batch.of(cells[start : start + BATCH_CELLS])
        pairs = neighbors(batch, max(radius, reach))
        distances = pairs.vectors.norm(dim=1)
        atoms = len(batch.positions)
        no_neighbour = torch.full((atoms,), torch.inf, dtype=torch.float64)
        shortest = no_neighbour.scatter_reduce(0, pairs.centers, distances, "amin")
        counted = pairs.centers.numpy()[distances.numpy() < radius]
        nearest.append(shortest.numpy())
        coordination.append(np.bincount(counted, minlength=atoms).astype(float))
    return Packing(np.concatenate(nearest), np.concatenate(coordination))


def voronoi_volumes(atoms: Atoms) -> Array:
    """Compute the volume (n_atoms,) in Å³ of the space that is nearest to each atom.

    Qhull gets the atoms and all their images within twice the farthest that a point can be from an
    atom. That is at most half the root of the sum of the squares of three lattice vectors.
    """
    reach = float(np.linalg.norm(atoms.cell.lengths()))
    pairs = neighbors(Batch.of([atoms]), reach)
    shifted = np.column_stack([pairs.shifts.numpy(), pairs.members.numpy()]).astype(int)
    images = np.unique(shifted, axis=0)
    # The atoms themselves, without a shift, come first: the cells of the diagram are theirs.
    images = images[images[:, :3].any(axis=1)]
    image_positions = atoms.positions[images[:, 3]] + images[:, :3] @ atoms.cell.array
    diagram = Voronoi(np.concatenate([atoms.positions, image_positions]))
    regions = [diagram.regions[diagram.point_region[atom]] for atom in range(len(atoms))]
    return np.array([ConvexHull(diagram.vertices[region]).volume for region in regions])
