"""The energies' zero: a base model's energies per element moved to those of the labels, before training.

Another functional, code or family of pseudopotentials counts energies from another zero. The
difference is a constant for each element, often of electronvolts, and no error of the model's
shape; training would spend its steps on it.

    min over δ of  Σ_s ρ(ΔE_s/N_s − Σ_e x_se δ_e)

    ΔE_s   free energy of cell s less the model's (eV), N_s its atoms
    x_se   share of element e in it
    δ_e    what is added to the energy of each atom of element e (eV)
    ρ      Huber's function with its corner at 50 meV/atom: cells that the model knows badly do not move the zero

Where the compositions leave δ open (one stoichiometry), it is the smallest one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from scipy.optimize import least_squares

from entropy_flows.files import read_json, write_json
from entropy_flows.potentials import load_calculator

CORNER = 0.05
"""eV/atom."""
FILE = "zero.json"


def energy_shifts(frames: Sequence[Atoms], model: Calculator) -> dict[str, float]:
    """δ (eV/atom) by element.

    Parameters
    ----------
    frames
        Labelled cells.
    model
        The base model.

    Returns
    -------
    dict
        Element → δ.
    """
    elements = sorted({symbol for atoms in frames for symbol in atoms.get_chemical_symbols()})
    shares = np.array(
        [[atoms.get_chemical_symbols().count(e) / len(atoms) for e in elements] for atoms in frames]
    )
    wanted = np.array([_difference(atoms, model) for atoms in frames])
    start = np.linalg.lstsq(shares, wanted, rcond=None)[0]
    loss = {"loss": "huber", "f_scale": CORNER}
    found = least_squares(lambda shifts: shares @ shifts - wanted, start, lambda _: shares, **loss)
    smallest = np.linalg.pinv(shares) @ (shares @ found.x)
    return dict(zip(elements, map(float, smallest), strict=True))


def shifts_of(
    folder: Path, frames: Sequence[Atoms], package: Path, device: str
) -> dict[str, float]:
    """δ of a training, found once: one that is gone on with has what it began with."""
    if (known := read_json(folder / FILE, None)) is None:
        known = energy_shifts(frames, load_calculator(package, device=device))
        write_json(folder / FILE, known)
    return known


def _difference(label: Atoms, model: Calculator) -> float:
    atoms = Atoms(label.numbers, label.positions, cell=label.cell, pbc=label.pbc)
    atoms.calc = model
    return (label.get_potential_energy() - atoms.get_potential_energy()) / len(label)
