"""Cells as ASE and pymatgen see them, and distances in them."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from matscipy.neighbours import neighbour_list
from pymatgen.core import Structure


def shortest_distance(atoms: Atoms) -> tuple[float, float]:
    """Shortest interatomic distance: in Å, and as the smallest fraction of the sum of covalent radii.

    Periodic images of an atom itself count. (inf, inf) if no pair is closer than the sum of radii plus 2 Å.
    """
    reach = 2 * covalent_radii[atoms.numbers].max() + 2.0
    i, j, d = neighbour_list("ijd", atoms, reach)
    if len(d) == 0:
        return float("inf"), float("inf")
    ratio = d / (covalent_radii[atoms.numbers[i]] + covalent_radii[atoms.numbers[j]])
    return float(d.min()), float(ratio.min())


def to_atoms(structure: Structure) -> Atoms:
    """pymatgen → ASE: species, positions and cell, nothing else."""
    return Atoms(
        numbers=structure.atomic_numbers, positions=structure.cart_coords, cell=structure.lattice.matrix, pbc=True
    )


def to_structure(atoms: Atoms) -> Structure:
    """ASE → pymatgen, positions as they are (not wrapped)."""
    return Structure(np.array(atoms.cell), atoms.get_chemical_symbols(), atoms.positions, coords_are_cartesian=True)
