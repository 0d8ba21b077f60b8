"""Names and units of labels in extended XYZ files.

============  ====================================  ==========================================
quantity      names, in any case                    unit
============  ====================================  ==========================================
energy        energy, total_energy, totenergy       eV
free_energy   free_energy                           eV
forces        forces, force                         eV/Å
stress        stress                                eV/Å³, ASE's sign; xx yy zz yz xz xy or 9
virial        virial, virials                       eV; −V stress
============  ====================================  ==========================================

Each also with the name of where it is from before or behind it: REF_energy (MACE), dft_force (GAP),
stress_vasp, pbe_energy. What a key such as `energy_unit` says of a unit is converted, or refused.
Two keys of one quantity have to agree.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ase import units

from entropy_flows.conventions import GPA, to_matrix
from entropy_flows.label.xyz_text import FrameError, as_float, floats, is_number, quoted

_NAMES = {
    "energy": "energy",
    "total_energy": "energy",
    "totenergy": "energy",
    "free_energy": "free_energy",
    "forces": "forces",
    "force": "forces",
    "stress": "stress",
    "virial": "virial",
    "virials": "virial",
}
_SOURCES = ("ref", "reference", "dft", "vasp", "qm", "true", "target", "label")
_FUNCTIONALS = ("lda", "pbe", "pbesol", "rpbe", "scan", "r2scan")
"""They stand before a name or behind it, too, and count where nothing else has the quantity: a file
may have a second functional's values beside those that it is for."""
_LIKE_A_LABEL = re.compile("energ|forc|stress|virial|pressure", re.IGNORECASE)
_AGREE = {"energy": 1e-4, "free_energy": 1e-4, "forces": 1e-4, "stress": 1e-4}
"""Largest difference of two keys of one quantity: printed digits, in eV, eV/Å and eV/Å³."""
_AGREE_RELATIVE = 1e-3
"""The same for stresses, as a share of the larger one."""

_LENGTHS = ("length", "lengths", "distance", "position", "positions", "pos", "lattice")
_ENERGY_UNITS = {
    "ev": 1.0,
    "mev": 1e-3,
    **dict.fromkeys(("ha", "hartree", "hartrees", "eh"), units.Hartree),
    **dict.fromkeys(("ry", "rydberg", "rydbergs"), units.Rydberg),
    "kcal/mol": units.kcal / units.mol,
    "kj/mol": units.kJ / units.mol,
}
_LENGTH_UNITS = {
    **dict.fromkeys(("a", "aa", "ang", "angstrom", "angstroms"), 1.0),
    "bohr": units.Bohr,
}
_FORCE_UNITS = {
    f"{e}/{r}": x / y for e, x in _ENERGY_UNITS.items() for r, y in _LENGTH_UNITS.items()
}
_STRESS_UNITS = {f"ev/{r}3": 1.0 for r, y in _LENGTH_UNITS.items() if y == 1.0}
_UNITS = {
    "energy": _ENERGY_UNITS,
    "free_energy": _ENERGY_UNITS,
    "forces": _FORCE_UNITS,
    "stress": _STRESS_UNITS,
    "virial": _ENERGY_UNITS,
}
_OURS = (
    {"metal", "ase", "ev"} | set(_STRESS_UNITS) | {r for r, y in _LENGTH_UNITS.items() if y == 1.0}
)
_OURS |= {f"ev/{r}" for r, y in _LENGTH_UNITS.items() if y == 1.0}
"""Words for the units that are taken for granted."""


@dataclass
class LabelKeys:
    """Label of a frame, as ASE's calculators name its parts, in eV and Å.

    Attributes
    ----------
    results
        energy, free_energy (eV), forces (n_atoms, 3) in eV/Å and stress (3, 3) in eV/Å³: what there
        is of them.
    keys
        The keys that these were read from.
    notes
        What was read under another name than its own, or looks like a label and was not read.
    """

    results: dict[str, Any] = field(default_factory=dict)
    keys: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)


def quantity_of(key: str) -> str | None:
    """Return the quantity that a key or column is a name of, or None."""
    name = key.lower().replace("-", "_")
    bare = _without(_SOURCES, name) or _without(_FUNCTIONALS, name) or name
    return _NAMES.get(bare)


def _without(words: Sequence[str], name: str) -> str | None:
    """Return a name without the word before it or behind it; None if it has none of them."""
    for word in words:
        bare = name.removeprefix(f"{word}_")
        if bare == name:
            bare = name.removesuffix(f"_{word}")
        if bare != name:
            return bare
    return None


def _measured(quantity: str | None) -> str | None:
    """Return what a quantity is a value of: a virial is one of the stress."""
    return "stress" if quantity == "virial" else quantity


def _is_of_functional(key: str) -> bool:
    return _without(_FUNCTIONALS, key.lower().replace("-", "_")) is not None


def read_label_keys(
    values: Mapping[str, str], columns: Mapping[str, np.ndarray], volume: float
) -> LabelKeys:
    """Label of a frame's keys and columns.

    Parameters
    ----------
    values
        Keys of the comment line with their texts.
    columns
        Texts (n_atoms, k) by name.
    volume
        Å³.

    Raises
    ------
    FrameError
        If a value is no finite number, two keys contradict each other, or a unit is not known.
    """
    factors = _unit_factors(values)
    readings_of: dict[str, dict[str, Any]] = {}
    label = LabelKeys()
    keys = [*values, *columns]
    named = {_measured(quantity_of(key)) for key in keys if not _is_of_functional(key)}
    for key in keys:
        quantity = quantity_of(key)
        if _is_of_functional(key) and _measured(quantity) in named:
            quantity = None
        if quantity is None or (quantity == "forces") is not (key in columns):
            if _LIKE_A_LABEL.search(key) and _unit_subject(key) is None:
                label.notes.append(f"{key} is not read")
            continue
        value = _value(quantity, key, columns[key] if key in columns else values[key], label.notes)
        readings_of.setdefault(quantity, {})[key] = value * factors.get(quantity, 1.0)
        label.keys.add(key)
        if key != quantity:
            label.notes.append(f"{key} is read as {quantity}")
    for key, virial in readings_of.pop("virial", {}).items():
        if volume == 0:
            raise FrameError(f"{key} is there, and no Lattice to make a stress of it")
        readings_of.setdefault("stress", {})[key] = -virial / volume
    for quantity, readings in readings_of.items():
        label.results[quantity] = _agreed(quantity, readings)
    return label


def _value(quantity: str, key: str, text: Any, notes: list[str]) -> Any:
    """Return the number, or array, of a key's text or of a column's texts."""
    if quantity == "forces":
        return floats(text, key, (len(text), 3))
    words = re.findall(r"[^\s,\[\]]+", text.removeprefix("_JSON "))
    not_numbers = [word for word in words if not is_number(word)]
    sizes = (1,) if quantity.endswith("energy") else (6, 9)
    if not_numbers or len(words) not in sizes:
        size = "a finite number is" if sizes == (1,) else "9 finite numbers are"
        raise FrameError(f"{key} is {quoted(text)}; {size} needed")
    numbers = np.array([as_float(word) for word in words])
    if len(numbers) == 1:
        return float(numbers[0])
    if len(numbers) == 6:
        notes.append(f"{key} has six values, read as xx yy zz yz xz xy")
        return to_matrix(numbers)
    matrix = numbers.reshape(3, 3)
    if np.abs(matrix - matrix.T).max() > 1e-6 + 0.01 * np.abs(matrix).max():
        raise FrameError(f"{key} is {quoted(text)}, which is not symmetric")
    return matrix


def _agreed(quantity: str, readings: Mapping[str, Any]) -> Any:
    """Return the one value of a quantity's keys; its own name comes first."""
    chosen = quantity if quantity in readings else next(iter(readings))
    for key, value in readings.items():
        scale = np.abs([value, readings[chosen]]).max()
        tolerance = _AGREE[quantity] + (_AGREE_RELATIVE * scale if quantity == "stress" else 0.0)
        difference = np.abs(np.asarray(value) - readings[chosen])
        if difference.max() > tolerance:
            worst = np.unravel_index(int(np.argmax(difference)), difference.shape)
            pair = [f"{name} {np.asarray(readings[name])[worst]:.8g}" for name in (chosen, key)]
            subject = _in_words(quantity, chosen, key)
            raise FrameError(f"two values of {subject} contradict each other: {' and '.join(pair)}")
    return readings[chosen]


def _in_words(quantity: str, *keys: str) -> str:
    if any(quantity_of(key) == "virial" for key in keys):
        return "the stress in eV/Å³ (a virial is −V stress)"
    return {"energy": "the energy in eV", "free_energy": "the free energy in eV"}.get(
        quantity, f"the {quantity}"
    )


def _unit_factors(values: Mapping[str, str]) -> dict[str, float]:
    """Return the factor of each quantity, from the keys that name units."""
    factors = {}
    for key, text in values.items():
        subject = _unit_subject(key)
        if subject is None or is_number(text):  # a number of formula units, say
            continue
        quantity = quantity_of(subject)
        if quantity is not None:
            factors[quantity] = _factor(quantity, key, text)
        elif (
            subject == ""
            and not {_normalized(word) for word in re.split(r"[,;\s]+", text.strip())} <= _OURS
        ):
            raise FrameError(f"{key} is {quoted(text)}; eV and Å are expected")
        elif subject in _LENGTHS and _LENGTH_UNITS.get(_normalized(text)) != 1.0:
            raise FrameError(f"{key} is {quoted(text)}; Å is expected")
    return factors


def _unit_subject(key: str) -> str | None:
    """Return what a key such as `energy_unit` names the unit of; None if it names none."""
    match = re.fullmatch(r"(.*?)[_-]?units?", key.lower())
    if match is None:
        match = re.fullmatch(r"units?[_-](.*)", key.lower())
    if match is None:
        return None
    subject = match[1]
    return subject if not subject or subject in _LENGTHS or quantity_of(subject) else None


def _factor(quantity: str, key: str, text: str) -> float:
    word = _normalized(text)
    if word in _UNITS[quantity]:
        return _UNITS[quantity][word]
    if quantity == "stress":
        raise FrameError(
            f"{key} is {quoted(text)}; eV/Å³ in ASE's sign (negative under compression) is "
            f"expected, since other units come with either sign: divide GPa by {GPA:.2f}, kBar by "
            f"{10 * GPA:.1f}, VASP's kBar by {-10 * GPA:.1f}"
        )
    raise FrameError(
        f"{key} is {quoted(text)}; expected one of {', '.join(list(_UNITS[quantity])[:8])}"
    )


def _normalized(unit: str) -> str:
    """Return a unit's name without capitals, blanks, accents and signs of powers."""
    plain = unit.casefold().replace("å", "a").replace("³", "3").replace("angstroem", "angstrom")
    return re.sub(r"\^|\*\*|\s|\(|\)", "", plain)
