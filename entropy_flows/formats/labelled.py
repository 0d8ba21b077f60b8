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
        Positions, cell, species and initial magnetic moments, and nothing else.
    energy
        Free energy if there is one, as forces are its derivative; eV.
    forces
        (n_atoms, 3), eV/Å.
    stress
        (3, 3) in eV/Å³, ASE's sign, or None.
    magmoms, total_magmom
        Final magnetic moments (n_atoms,) of the atoms and of the cell in μ_B, or None.
    info
        What the cell carries beside it, by name.
    """

    atoms: Atoms
    energy: float
    forces: Array
    stress: Array | None
    magmoms: Array | None
    total_magmom: float | None
    info: dict[str, Any]


def labelled(atoms: Atoms) -> Labelled | None:
    """Return a cell with its label; None if energy or forces are missing or not finite."""
    results = atoms.calc.results if atoms.calc is not None else {}
    energy = results.get("free_energy", results.get("energy"))
    forces = results.get("forces")
    if energy is None or forces is None or not np.isfinite([energy, *np.ravel(forces)]).all():
        return None
    start = atoms.arrays.get("initial_magmoms")
    bare = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc, magmoms=start)
    stress = results.get("stress")
    if stress is not None:
        values = np.asarray(stress, dtype=float)
        stress = to_matrix(values) if values.shape == (6,) else values.reshape(3, 3)
        stress = stress if np.isfinite(stress).all() else None
    magmoms = results.get("magmoms")
    return Labelled(
        atoms=bare,
        energy=float(energy),
        forces=np.array(forces, dtype=float),
        stress=stress,
        magmoms=None if magmoms is None else np.array(magmoms, dtype=float),
        total_magmom=results.get("magmom"),
        info=dict(atoms.info),
    )
