"""One check of one phase: a result or the reason why there is none, never an exception that ends the others."""

from __future__ import annotations

import importlib.util
import time
from dataclasses import asdict, dataclass
from typing import Any

from ase import Atoms
from ase.calculators.calculator import Calculator

from entropy_flows.evaluate.physics.elastic import elastic
from entropy_flows.evaluate.physics.eos import eos
from entropy_flows.evaluate.physics.params import CheckName, PhysicsParams
from entropy_flows.evaluate.physics.phases import enthalpy
from entropy_flows.evaluate.physics.phonons import phonons
from entropy_flows.evaluate.physics.relax import CheckError
from entropy_flows.evaluate.physics.stability import stability
from entropy_flows.faults import is_machine_fault
from entropy_flows.vacuum import vacuum_of


@dataclass(frozen=True)
class HarshestCondition:
    """The corner of the exploration's grid."""

    temperature: float
    """Highest temperature, K."""
    pressure: float
    """Highest nominal pressure, GPa."""


@dataclass(frozen=True)
class CheckResult:
    """A check of a phase."""

    result: dict[str, Any] | None
    """The check's dataclass as a mapping."""
    reason: str | None
    """Why there is no result."""
    seconds: float
    """Wall time."""


NEEDS: dict[CheckName, tuple[str, ...]] = {
    "eos": ("fmax", "max_steps", "volume_strain", "volumes"),
    "elastic": ("fmax", "max_steps", "strain"),
    "phonons": ("fmax", "max_steps", "displacement", "supercell_length"),
    "enthalpy": ("fmax", "max_steps", "pressures"),
    "stability": (
        "fmax", "max_steps", "temperature", "pressure", "steps", "timestep", "friction", "min_distance_fraction", "seed",
    ),
}  # fmt: skip
"""Parameters that decide a check's result: others may change and it stays valid."""


def resolved(params: PhysicsParams, hardest: HarshestCondition) -> PhysicsParams:
    """The parameters with what they take from the exploration's grid."""
    top = max(hardest.pressure, 1.0)
    return params.model_copy(
        update={
            "pressures": params.pressures or tuple(top * step / 8 for step in range(9)),
            "temperature": params.temperature or hardest.temperature,
            "pressure": hardest.pressure if params.pressure is None else params.pressure,
        }
    )


def run_check(
    check: CheckName, atoms: Atoms, calculator: Calculator, params: PhysicsParams
) -> CheckResult:
    """Make a check.

    Parameters
    ----------
    check
        Which.
    atoms
        The phase; not changed.
    calculator
        The potential: energy in eV, forces in eV/Å, stress in eV/Å³.
    params
        As `resolved` gives them.

    Raises
    ------
    ValueError
        If a package it needs is not installed.
    Exception
        Only for what the machine did wrong.
    """
    package = {"elastic": "matcalc", "phonons": "phonopy"}.get(check)
    if package is not None and importlib.util.find_spec(package) is None:
        raise ValueError(
            f"the check {check!r} needs {package}: pip install 'entropy_flows[physics]'"
        )
    started = time.perf_counter()
    try:
        result, reason = asdict(_make(check, atoms, calculator, params)), None
    except CheckError as err:
        result, reason = None, str(err)
    except Exception as err:  # whatever a potential does to a library
        if is_machine_fault(err):
            raise
        result, reason = None, f"{type(err).__name__}: {' '.join(str(err).split())}"[:300]
    return CheckResult(result, reason, time.perf_counter() - started)


def _make(check: CheckName, atoms: Atoms, calculator: Calculator, params: PhysicsParams) -> Any:
    if (vacuum := vacuum_of(atoms)) is not None:
        raise CheckError(f"the phase is {vacuum}: its cell cannot be relaxed as a crystal's")
    if check == "enthalpy":
        return enthalpy(atoms, calculator, params, params.pressures or ())
    if check == "stability":
        return stability(
            atoms, calculator, params, params.temperature or 0.0, params.pressure or 0.0
        )
    return {"eos": eos, "elastic": elastic, "phonons": phonons}[check](atoms, calculator, params)
