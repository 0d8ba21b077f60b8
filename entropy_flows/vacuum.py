"""Seeds with a vacuum: slabs, wires, molecules and clusters, whose volume no pressure can change.

Two atoms touch if they are no farther apart than the sum of their van der Waals radii and `GAP`. A
crystal, also a layered or molecular one, is connected in this way along three directions; what
repeats without contact has a vacuum. The number of directions is the rank of the lattice vectors
that lead from an atom to its own image through contacts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from ase.data.vdw_alvarez import vdw_radii
from ase.neighborlist import primitive_neighbor_list

from entropy_flows.conventions import Array

GAP = 2.0
"""Distance beyond van der Waals contact (Å) at which atoms still touch.

The largest distances between neighbours in crystals at zero pressure, of solid hydrogen and helium,
exceed the contact by about 1 Å. Slabs are made with a vacuum of 8 Å and more.
"""
MAX_GAP = 6.0
"""Gap (Å) between atoms in a direction along which a slab or wire is repeated."""
KINDS = ("a molecule or cluster", "a wire", "a slab")


@dataclass(frozen=True)
class Vacuum:
    """The vacuum of a cell that is not connected along all three directions."""

    kind: str
    """What the cell holds."""
    thickness: tuple[float, ...]
    """Largest distance (Å) between atoms' planes along each lattice vector's normal that has no
    atom in it.
    """

    def __str__(self) -> str:
        axis = int(np.argmax(self.thickness))
        return f"{self.kind}, with {self.thickness[axis]:.1f} Å of vacuum along {'abc'[axis]}"


def vacuum_of(atoms: Atoms) -> Vacuum | None:
    """Find the vacuum in a periodic cell; None for a crystal."""
    directions = _connected_directions(atoms)
    if directions == 3:
        return None
    return Vacuum(KINDS[directions], tuple(_largest_gap(atoms, axis) for axis in range(3)))


def repetitions(atoms: Atoms, minimum: int, maximum: int) -> tuple[int, int, int]:
    """Return how often a cell is repeated along each vector to have enough atoms.

    The shortest vector is next, and never one along a vacuum.

    Parameters
    ----------
    atoms
        The cell.
    minimum
        Number of atoms from which on it is not repeated further.
    maximum
        Number of atoms that is not exceeded.
    """
    counts = np.ones(3, dtype=int)
    heights = 1 / np.linalg.norm(atoms.cell.reciprocal().array, axis=1)
    vacuum = vacuum_of(atoms)
    may_repeat = np.ones(3, dtype=bool)
    if vacuum is not None:
        may_repeat = np.array(vacuum.thickness) < MAX_GAP
    while len(atoms) * counts.prod() < minimum and may_repeat.any():
        shortest = int(np.argmin(np.where(may_repeat, counts * heights, np.inf)))
        if len(atoms) * counts.prod() * (counts[shortest] + 1) / counts[shortest] > maximum:
            break
        counts[shortest] += 1
    first, second, third = counts.tolist()
    return first, second, third


def _connected_directions(atoms: Atoms) -> int:
    """Return in how many directions a cell is connected: the largest rank of its components.

    The rank is that of the lattice vectors along which contacts lead from an atom to its image.
    """
    touching = _radii(atoms.numbers) + GAP / 2
    first, second, shifts = primitive_neighbor_list(
        "ijS",
        (True, True, True),
        atoms.cell.array,
        atoms.positions,
        list(touching),
        self_interaction=False,
    )
    neighbours: list[list[tuple[int, Array]]] = [[] for _ in range(len(atoms))]
    for i, j, shift in zip(first, second, shifts, strict=True):
        neighbours[i].append((int(j), shift))
    image: dict[int, Array] = {}
    best = 0
    for start in range(len(atoms)):
        if start in image:
            continue
        image[start] = np.zeros(3, dtype=int)
        loops: set[tuple[int, ...]] = set()
        stack = [start]
        while stack:
            i = stack.pop()
            for j, shift in neighbours[i]:
                image_of_j = image[i] + shift
                if j not in image:
                    image[j] = image_of_j
                    stack.append(j)
                    continue
                loop = image_of_j - image[j]
                if loop.any():
                    loops.add(tuple(loop.tolist()))
        if loops:
            best = max(best, int(np.linalg.matrix_rank(np.array(sorted(loops)))))
    return best


def _radii(numbers: Array) -> Array:
    """Return van der Waals radii (Å) by Alvarez (2013), else the covalent radius and 0.8 Å."""
    table = np.full(len(covalent_radii), np.nan)
    table[: len(vdw_radii)] = vdw_radii[: len(table)]
    radii = table[numbers]
    return np.where(np.isfinite(radii), radii, covalent_radii[numbers] + 0.8)


def _largest_gap(atoms: Atoms, axis: int) -> float:
    """Return the largest distance (Å) between neighbouring planes of atoms.

    It is taken along the normal to the other two lattice vectors.
    """
    others = np.delete(atoms.cell.array, axis, axis=0)
    height = atoms.get_volume() / np.linalg.norm(np.cross(*others))
    fractions = np.sort(atoms.get_scaled_positions(wrap=True)[:, axis])
    return float(height * np.diff(np.append(fractions, fractions[0] + 1)).max())
