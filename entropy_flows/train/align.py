"""The zero of energies: a base model's energies per element, moved to those of the labels.

Another functional, code or family of pseudopotentials counts energies from another zero. The
difference is a constant for each element, often of electronvolts, and no error of the model's
shape. Training would spend its steps on it, so it is removed before.

    min over δ of  Σ_s ρ(ΔE_s/N_s − Σ_e x_se δ_e)

    ΔE_s   free energy of cell s less the model's (eV), N_s its atoms
    x_se   share of element e in it
    δ_e    addition to the energy of each atom of element e (eV)
    ρ      Huber's function with its corner at 50 meV/atom, so that cells that the model describes
           badly do not move the zero

Where the compositions leave δ open (one stoichiometry), it is the smallest one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.calculators.singlepoint import SinglePointCalculator

from entropy_flows.conventions import Array
from entropy_flows.files import read_json, write_json
from entropy_flows.potentials import evaluate_ahead, load_many
from entropy_flows.train.dataset import is_replay

CORNER = 0.05
"""Corner of Huber's function, eV/atom."""
FILE = "zero.json"


def energy_shifts(frames: Sequence[Atoms], model: Calculator) -> dict[str, float]:
    """Fit δ (eV/atom) of each element.

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
    evaluate_ahead(model, frames)
    return fit_shifts(frames, np.array([_difference(atoms, model) for atoms in frames]))


def fit_shifts(frames: Sequence[Atoms], differences: Array) -> dict[str, float]:
    """Fit δ (eV/atom) of each element to differences that are known.

    Parameters
    ----------
    frames
        Cells.
    differences
        ΔE/N of each cell (n,), in eV/atom.

    Returns
    -------
    dict
        Element → δ.
    """
    from scipy.optimize import least_squares

    elements = sorted({symbol for atoms in frames for symbol in atoms.get_chemical_symbols()})
    shares = np.array(
        [[atoms.get_chemical_symbols().count(e) / len(atoms) for e in elements] for atoms in frames]
    )
    start = np.linalg.lstsq(shares, differences, rcond=None)[0]
    fit = least_squares(
        lambda shifts: shares @ shifts - differences,
        start,
        lambda _: shares,
        loss="huber",
        f_scale=CORNER,
    )
    # Where the compositions leave δ open, the fit depends on its start; this solution does not.
    smallest = np.linalg.pinv(shares) @ (shares @ fit.x)
    return dict(zip(elements, map(float, smallest), strict=True))


def base_shifts(
    folder: Path, frames: Sequence[Atoms], model: str | Path, device: str
) -> dict[str, float]:
    """Return δ of a training, fitted once: one that goes on keeps what it began with.

    It is fitted to the engine's labels alone; replay cells among the frames have no say in it.
    """
    shifts = read_json(folder / FILE, None)
    if shifts is None:
        labelled = [atoms for atoms in frames if not is_replay(atoms)]
        shifts = energy_shifts(labelled, load_many(model, device=device))
        write_json(folder / FILE, shifts)
    return shifts


def moved(label: Atoms, shifts: Mapping[str, float]) -> Atoms:
    """Return a copy of a labelled cell with the shifts (eV) of its atoms added to its energy."""
    atomic = sum(shifts.get(symbol, 0.0) for symbol in label.get_chemical_symbols())
    energy = label.get_potential_energy() + atomic
    copy = label.copy()
    copy.calc = SinglePointCalculator(copy, **{**label.calc.results, "energy": energy})
    return copy


def _difference(label: Atoms, model: Calculator) -> float:
    """Return the labelled energy per atom less the model's."""
    atoms = Atoms(label.numbers, label.positions, cell=label.cell, pbc=label.pbc)
    atoms.calc = model
    return (label.get_potential_energy() - atoms.get_potential_energy()) / len(label)
