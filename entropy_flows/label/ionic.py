"""One ionic step of a VASP run: cell, energies, forces and stress, and whether it converged.

VASP moves the ions once more after a step's forces, so the final cell of a run is not that of its
last step. In one <calculation>, with F' and E₀' of its last electronic step,

    F  = e_fr_energy − P V    P is PSTRESS and V the volume; VASP adds P V to an ionic step's energy
    E₀ = F + E₀' − F'         e_0_energy of the ionic step is wrong in some versions of VASP

A step has converged if it took fewer electronic steps than NELM and F' changed by at most 10 EDIFF
+ 10⁻⁷ eV in the last of them: VASP stops below EDIFF, and the printed digits end at 10⁻⁸. It
contradicts itself if |F − F'| is above 10⁻⁴ eV + 10⁻⁷ |F|, but for dispersion corrections (IVDW),
which enter F after the last electronic step. With PSTRESS the stress is left out: whether P is in
it is not written down.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from entropy_flows.conventions import KBAR
from entropy_flows.label.document import is_success, value_at

if TYPE_CHECKING:
    from pymatgen.core import Structure

NO_AB_INITIO = "no ab initio step in it (VASP's ML force field alone)"
ENERGY_TOLERANCE = (1e-4, 1e-7)
"""How far F may be apart in two places: eV, and relative."""
_EDIFFS = 10.0
_PRINTED = 1e-7  # eV
_DEFAULT_NELM = 60
_LINEAR_RESPONSE = (7, 8)


@dataclass(frozen=True, eq=False)
class IonicStep:
    """The numbers that VASP has printed of one ionic step.

    Attributes
    ----------
    energy, free_energy
        E₀ and F (eV), None where they are not written.
    forces
        (n, 3), eV/Å.
    stress
        (3, 3), kBar, VASP's sign.
    structure
        The cell that these belong to.
    electronic_steps
        How many; 0 if it is not known.
    unconverged
        Why the electronic steps have not converged, or None.
    contradiction
        Which of its numbers contradict each other, or None.
    note
        What was left out, or None.
    """

    energy: float | None
    free_energy: float | None
    forces: Any
    stress: Any
    structure: Structure | None
    electronic_steps: int
    unconverged: str | None = None
    contradiction: str | None = None
    note: str | None = None


def tags_of(calc: Any) -> dict[str, Any]:
    """Return the INCAR tags of a calculation, on top of the parameters that VASP made of them."""
    return {
        **(value_at(calc, "input", "parameters") or {}),
        **(value_at(calc, "input", "incar") or {}),
    }


def ions_move(tags: Mapping[str, Any]) -> bool:
    """Return whether VASP moves the ions after a step's forces."""
    return int(tags.get("NSW") or 0) > 0 and tags.get("IBRION", 0) != -1


def read_step(calc: Any, index: int = -1) -> IonicStep | None:
    """Read one ionic step of a calculation; None if the document keeps none.

    Parameters
    ----------
    calc
        Calculation of a task document, or its dictionary.
    index
        Which of its ionic steps; negative ones count from the last.

    Returns
    -------
    IonicStep or None
        The step.
    """
    step = value_at(calc, "output", "ionic_steps", index)
    if step is None:
        return None
    tags = tags_of(calc)
    cell = _structure(value_at(step, "structure"))
    total = _number(value_at(step, "e_fr_energy"))
    electronic = list(value_at(step, "electronic_steps") or [])
    added = _added_by_pressure(total, electronic, cell, tags)
    free_energy = None if total is None else total - added
    electronic = _ground_state(electronic, free_energy, tags)
    count = len(electronic) or int(value_at(step, "num_electronic_steps") or 0)
    count = count or int(value_at(calc, "output", "num_electronic_steps", index) or 0)
    return IonicStep(
        energy=_extrapolated(step, free_energy, electronic, added),
        free_energy=free_energy,
        forces=value_at(step, "forces"),
        stress=None if tags.get("PSTRESS") else value_at(step, "stress"),
        structure=cell,
        electronic_steps=count,
        unconverged=_unconverged(calc, tags, electronic, count),
        contradiction=_contradiction(free_energy, electronic, tags),
        note=f"not read: PSTRESS is {tags['PSTRESS']} kBar" if tags.get("PSTRESS") else None,
    )


def _extrapolated(
    step: Any, free_energy: float | None, electronic: list[Any], added: float
) -> float | None:
    """Return E₀ (eV) of a step, from F and the last electronic step where there is one."""
    last_free = _number(value_at(electronic, -1, "e_fr_energy"))
    last_energy = _number(value_at(electronic, -1, "e_0_energy"))
    if free_energy is not None and last_free is not None and last_energy is not None:
        return round(free_energy + last_energy - last_free, 8)  # as many digits as VASP prints
    written = _number(value_at(step, "e_0_energy"))
    return None if written is None else written - added


def _added_by_pressure(
    total: float | None, electronic: list[Any], cell: Structure | None, tags: Mapping[str, Any]
) -> float:
    """Return P V (eV) if the energy of the ionic step has it, which its SCF shows; else 0."""
    pressure = float(tags.get("PSTRESS") or 0.0)
    if cell is None or total is None or not pressure:
        return 0.0
    last = _number(value_at(electronic, -1, "e_fr_energy"))
    # P V is not in an energy that is that of the last electronic step.
    if last is not None and abs(total - last) <= _PRINTED:
        return 0.0
    return pressure * cell.volume / KBAR


def _ground_state(
    electronic: list[Any], free_energy: float | None, tags: Mapping[str, Any]
) -> list[Any]:
    """Return the electronic steps up to the one whose energy is the ionic step's."""
    response = tags.get("LEPSILON") or tags.get("IBRION") in _LINEAR_RESPONSE
    if not response or free_energy is None:
        return electronic
    energies = [_number(value_at(step, "e_fr_energy")) for step in electronic]
    # Steps of linear response come after the one that the ionic step's energy is of.
    ground_state = [
        index
        for index, energy in enumerate(energies)
        if energy is not None and abs(energy - free_energy) <= _PRINTED
    ]
    return electronic[: ground_state[-1] + 1] if ground_state else electronic


def _contradiction(
    free_energy: float | None, electronic: list[Any], tags: Mapping[str, Any]
) -> str | None:
    """Say how far F is from that of the last electronic step, or None if it is the same."""
    last = _number(value_at(electronic, -1, "e_fr_energy"))
    if free_energy is None or last is None or tags.get("IVDW") or tags.get("LVDW"):
        return None
    limit = ENERGY_TOLERANCE[0] + ENERGY_TOLERANCE[1] * abs(free_energy)
    if abs(last - free_energy) <= limit:
        return None
    return (
        f"F is {free_energy:.6f} eV in the ionic step and {last:.6f} eV in the last electronic "
        f"step, {limit:.1e} allowed"
    )


def _unconverged(
    calc: Any, tags: Mapping[str, Any], electronic: list[Any], count: int
) -> str | None:
    """Say why the electronic steps have not converged, or None."""
    limit = int(tags.get("NELM") or _DEFAULT_NELM)
    failed = not is_success(value_at(calc, "has_vasp_completed"))
    if count >= limit:
        return f"VASP stopped after {count} electronic steps (NELM {limit}) short of EDIFF"
    # Of a relaxation, a failure says that the ions have not come to rest.
    if failed and not (ions_move(tags) and count):
        return f"the run is said to have failed; it has {count} electronic steps (NELM {limit})"
    ediff = _number(tags.get("EDIFF"))
    energies = [_number(value_at(step, "e_fr_energy")) for step in electronic]
    if not energies or None in energies or not ediff or ediff < 0:
        return None
    before = energies[-2] if len(energies) > 1 else 0.0  # one step shows nothing
    assert energies[-1] is not None
    assert before is not None
    change = abs(energies[-1] - before)
    if change <= _EDIFFS * ediff + _PRINTED:
        return None
    return (
        f"F changed by {change:.3g} eV in the last of {count} electronic steps, EDIFF is {ediff:g}"
    )


def _structure(value: Any) -> Structure | None:
    if isinstance(value, Mapping):
        from pymatgen.core import Structure

        return Structure.from_dict(dict(value))
    return value


def _number(value: Any) -> float | None:
    """Read a number; None without one, and for one that overflowed its digits."""
    if value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
