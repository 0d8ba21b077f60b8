r"""Labels that had better be looked at before a model is trained on them.

    r = (F_label − F_model)/n         energy residual of a cell of n atoms (eV/atom)
    e = max |f_label − f_model|       largest error of a force component (eV/Å)
    z = 0.6745 (x − median x)/MAD x   modified z-score of r, and of e, over the labels of an iteration

with MAD the median of |x − median x|. A label is odd where |z_r| or z_e exceeds `deviation`: the median and the MAD
do not move when a few labels are wrong, as a mean and a standard deviation would (Iglewicz and Hoaglin, 1993, who
take 3.5; cells chosen for being different have long tails, so the default is 20). A model's constant offset drops out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from pydantic import Field

from entropy_flows.params import Params

NORMAL = 0.6745
"""Median of |x| of a standard normal variable."""
FLOOR = {"energy": 1e-3, "force": 1e-2}
"""Least MAD (eV/atom, eV/Å): a model that is nearly exact makes no outliers out of rounding."""


class OutlierParams(Params):
    """When a label is flagged instead of trained on."""

    enabled: bool = True
    """False trains on everything that converged."""
    max_force: float = Field(100.0, gt=0)
    """Largest force component (eV/Å)."""
    max_energy: float = Field(1000.0, gt=0)
    """Largest |F| per atom (eV), whatever the zero of the engine's energies is."""
    deviation: float = Field(20.0, gt=0)
    """Largest modified z-score of the distance from the model that the training starts from."""
    fewest: int = Field(10, ge=3)
    """Labels without which there is no z-score to speak of."""


def odd_labels(frames: Sequence[Atoms], model: Calculator | None, params: OutlierParams) -> dict[int, str]:
    """Which of an iteration's labels are odd, and why.

    Parameters
    ----------
    frames
        Labelled cells.
    model
        Calculator to compare with; None only looks at the absolute limits.
    params
        The limits.

    Returns
    -------
    dict
        Position in `frames` → what is odd, with its numbers.
    """
    if not params.enabled or not frames:
        return {}
    energies = np.array([atoms.get_potential_energy() / len(atoms) for atoms in frames])
    forces = np.array([np.abs(atoms.get_forces()).max() for atoms in frames])
    odd: dict[int, list[str]] = {}
    for place in np.flatnonzero(np.abs(energies) > params.max_energy):
        odd.setdefault(int(place), []).append(f"energy {energies[place]:.4g} eV/atom, limit {params.max_energy:g}")
    for place in np.flatnonzero(forces > params.max_force):
        odd.setdefault(int(place), []).append(f"force {forces[place]:.4g} eV/Å, limit {params.max_force:g}")
    if model is not None and len(frames) >= params.fewest:
        residuals, errors = _distances(frames, model)
        scores = (np.abs(_score(residuals, FLOOR["energy"])), _score(errors, FLOOR["force"]))
        words = ("energy {:+.4g} eV/atom from the model's", "force {:.4g} eV/Å from the model's")
        for values, score, text in zip((residuals, errors), scores, words, strict=True):
            for place in np.flatnonzero(score > params.deviation):
                said = f"{text.format(values[place])}, {score[place]:.0f} times the usual deviation"
                odd.setdefault(int(place), []).append(said)
    return {place: "; ".join(texts) for place, texts in sorted(odd.items())}


def _distances(frames: Sequence[Atoms], model: Calculator) -> tuple[np.ndarray, np.ndarray]:
    """r (eV/atom) and e (eV/Å) of each cell."""
    residuals, errors = [], []
    for label in frames:
        atoms = Atoms(label.numbers, label.positions, cell=label.cell, pbc=label.pbc)
        atoms.calc = model
        residuals.append((label.get_potential_energy() - atoms.get_potential_energy()) / len(label))
        errors.append(np.abs(label.get_forces() - atoms.get_forces()).max())
    return np.array(residuals), np.array(errors)


def _score(values: np.ndarray, floor: float) -> np.ndarray:
    """Modified z-scores."""
    apart = values - np.median(values)
    return NORMAL * apart / max(float(np.median(np.abs(apart))), floor)
