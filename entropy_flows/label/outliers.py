r"""Labels that are outliers, and are flagged before a model is trained on them.

    r = (F_label − F_model)/n         energy residual of a cell of n atoms (eV/atom)
    e = max |f_label − f_model|       largest error of a force component (eV/Å)
    s = max |σ_label − σ_model|       largest error of a stress component (eV/Å³), if there is one
    z = 0.6745 (x − median x)/MAD x   modified z-score of r, e and s, over an iteration's labels

with MAD the median of |x − median x|. A label is odd where |z_r|, z_e or z_s exceeds `deviation`:
the median and the MAD do not move when a few labels are wrong, as a mean and a standard deviation
would (Iglewicz and Hoaglin, 1993, who take 3.5; cells chosen for being different have long tails,
so the default is 20). A model's constant offset drops out. Beside that, forces, energies and
stresses have absolute limits, and a stress has that of `stress_limit`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, PropertyNotImplementedError

from entropy_flows.conventions import Array, to_matrix
from entropy_flows.geometry import to_structure
from entropy_flows.label.outlier_params import OutlierParams
from entropy_flows.label.stress_limit import stress_defect

NORMAL = 0.6745
"""Median of |x| of a standard normal variable."""
QUANTITIES = {
    "energy": (1e-3, "energy {:+.4g} eV/atom from the model's"),
    "force": (1e-2, "force {:.4g} eV/Å from the model's"),
    "stress": (1e-3, "stress {:.4g} eV/Å³ from the model's"),
}
"""Least MAD (eV/atom, eV/Å, eV/Å³), so that rounding makes no outliers beside a nearly exact
model; and words.
"""


def odd_labels(
    frames: Sequence[Atoms], model: Calculator | None, params: OutlierParams
) -> dict[int, str]:
    """Find the odd ones among an iteration's labels.

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
        Index in `frames` → what is odd, with its numbers.
    """
    if not params.enabled or not frames:
        return {}
    odd: dict[int, list[str]] = defaultdict(list)
    for index, atoms in enumerate(frames):
        odd[index] += _beyond_limits(atoms, params)
    if model is not None:
        for index, text in _far_from(model, frames, params):
            odd[index].append(text)
    return {index: "; ".join(texts) for index, texts in sorted(odd.items()) if texts}


def _beyond_limits(atoms: Atoms, params: OutlierParams) -> Iterator[str]:
    """Yield the numbers of a label that are odd whatever the others are."""
    energy = atoms.get_potential_energy() / len(atoms)
    force = float(np.abs(atoms.get_forces()).max())
    stress = _stress(atoms)
    if abs(energy) > params.max_energy:
        yield f"energy {energy:.4g} eV/atom, limit {params.max_energy:g}"
    if force > params.max_force:
        yield f"force {force:.4g} eV/Å, limit {params.max_force:g}"
    if stress is None:
        return
    largest = float(np.abs(stress).max())
    if largest > params.max_stress:
        yield f"stress {largest:.4g} eV/Å³, limit {params.max_stress:g}"
    elif defect := stress_defect(to_structure(atoms), to_matrix(stress)):
        yield defect


def _far_from(
    model: Calculator, frames: Sequence[Atoms], params: OutlierParams
) -> Iterator[tuple[int, str]]:
    """Yield the index of each label that is unusually far from a model, and how far."""
    if len(frames) < params.fewest:
        return
    distances = np.array([_distances(atoms, model) for atoms in frames])
    for column, (name, (floor, words)) in enumerate(QUANTITIES.items()):
        values = distances[:, column]
        indices = np.flatnonzero(~np.isnan(values))
        if len(indices) < params.fewest:
            continue
        score = _score(values[indices], floor)
        if name == "energy":  # the only one with a sign
            score = np.abs(score)
        for index, deviation in zip(indices, score, strict=True):
            if deviation > params.deviation:
                text = f"{words.format(values[index])}, {deviation:.0f} times the usual deviation"
                yield int(index), text


def _distances(label: Atoms, model: Calculator) -> tuple[float, float, float]:
    """Return r (eV/atom), e (eV/Å) and s (eV/Å³) of a cell; s is nan without a stress."""
    atoms = Atoms(label.numbers, label.positions, cell=label.cell, pbc=label.pbc)
    atoms.calc = model
    residual = (label.get_potential_energy() - atoms.get_potential_energy()) / len(label)
    error = float(np.abs(label.get_forces() - atoms.get_forces()).max())
    expected = _stress(label)
    predicted = None if expected is None else _stress(atoms)
    if expected is None or predicted is None:
        return residual, error, float("nan")
    return residual, error, float(np.abs(expected - predicted).max())


def _stress(atoms: Atoms) -> Array | None:
    """Return the stress (6,) in eV/Å³, if the calculator gives one."""
    try:
        return np.asarray(atoms.get_stress(), dtype=float)
    except PropertyNotImplementedError:
        return None


def _score(values: Array, floor: float) -> Array:
    """Return modified z-scores, with a MAD of at least `floor`."""
    centred = values - np.median(values)
    return NORMAL * centred / max(float(np.median(np.abs(centred))), floor)
