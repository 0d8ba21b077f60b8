"""A cell with its label, whatever file it comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms

from entropy_flows.conventions import Array, to_matrix


@dataclass(frozen=True, eq=False)
class Labelled:
    """A cell that can be trained on.

    Attributes
    ----------
    atoms
        Positions, cell and species, and nothing else.
    energy
        Free energy if there is one, as forces are its derivative; eV.
    forces
        (n_atoms, 3), eV/Å.
    stress
        (3, 3) in eV/Å³, ASE's sign, or None.
    info
        What the cell carries beside it, by name.
    """

    atoms: Atoms
    energy: float
    forces: Array
    stress: Array | None
    info: dict[str, Any]


def labelled(atoms: Atoms) -> Labelled | None:
    """A cell's label; None if energy or forces are missing or not finite."""
    results = atoms.calc.results if atoms.calc is not None else {}
    energy = results.get("free_energy", results.get("energy"))
    forces = results.get("forces")
    if energy is None or forces is None or not np.isfinite([energy, *np.ravel(forces)]).all():
        return None
    bare = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    stress = results.get("stress")
    if stress is not None:
        given = np.asarray(stress, dtype=float)
        stress = to_matrix(given) if given.shape == (6,) else given.reshape(3, 3)
        stress = stress if np.isfinite(stress).all() else None
    return Labelled(bare, float(energy), np.array(forces, dtype=float), stress, dict(atoms.info))
