"""One check of one phase: a result, or the reason why there is none.

A check never raises for what the potential does, so that the others can be made.
"""

from __future__ import annotations

import importlib.util
import time
from dataclasses import asdict, dataclass
from typing import Any

from ase import Atoms
from ase.calculators.calculator import Calculator

from entropy_flows.evaluate.physics.defects import surfaces, vacancy
from entropy_flows.evaluate.physics.elastic import elastic
from entropy_flows.evaluate.physics.eos import eos
from entropy_flows.evaluate.physics.params import CheckName, PhysicsParams
from entropy_flows.evaluate.physics.phases import enthalpy
from entropy_flows.evaluate.physics.phonons import phonons
from entropy_flows.evaluate.physics.relax import CheckError
from entropy_flows.evaluate.physics.stability import stability
from entropy_flows.faults import error_line, is_machine_fault
from entropy_flows.vacuum import vacuum_of

PRESSURES = 9
"""Number of pressures at which enthalpies are computed, unless others are named."""
PACKAGES: dict[CheckName, str] = {
    "elastic": "matcalc",
    "phonons": "phonopy",
    "vacancy": "matcalc",
    "surfaces": "matcalc",
}
"""Check → the package that it needs beside those that are always installed."""


@dataclass(frozen=True)
class HarshestCondition:
    """The corner of the exploration's grid with the highest temperature and pressure."""

    temperature: float
    """Highest temperature, K."""
    pressure: float
    """Highest nominal pressure, GPa."""


@dataclass(frozen=True)
class CheckResult:
    """The result of one check of one phase."""

    result: dict[str, Any] | None
    """The check's dataclass as a mapping."""
    reason: str | None
    """Why there is no result."""
    seconds: float
    """Wall time."""


DECIDING_PARAMS: dict[CheckName, tuple[str, ...]] = {
    "eos": ("fmax", "max_steps", "volume_strain", "volumes"),
    "elastic": ("fmax", "max_steps", "strain"),
    "phonons": ("fmax", "max_steps", "displacement", "supercell_length"),
    "enthalpy": ("fmax", "max_steps", "pressures"),
    "vacancy": ("fmax", "max_steps", "defect_fmax", "supercell_length"),
    "surfaces": ("fmax", "max_steps", "defect_fmax", "surfaces", "slab_thickness"),
    "stability": (
        "fmax",
        "max_steps",
        "temperature",
        "pressure",
        "steps",
        "timestep",
        "friction",
        "min_distance_fraction",
        "seed",
    ),
}
"""Check → parameters that decide its result: others may change, and it stays valid."""


def resolved(params: PhysicsParams, harshest: HarshestCondition) -> PhysicsParams:
    """Fill in the parameters that come from the exploration's grid unless they are named."""
    top = max(harshest.pressure, 1.0)
    pressures = tuple(top * step / (PRESSURES - 1) for step in range(PRESSURES))
    return params.model_copy(
        update={
            "pressures": params.pressures or pressures,
            "temperature": params.temperature or harshest.temperature,
            "pressure": harshest.pressure if params.pressure is None else params.pressure,
        }
    )


def run_check(
    check: CheckName, atoms: Atoms, calculator: Calculator, params: PhysicsParams
) -> CheckResult:
    """Make one check of one phase.

    Parameters
    ----------
    check
        Name of the check.
    atoms
        The phase; not changed.
    calculator
        The potential: energy in eV, forces in eV/Å, stress in eV/Å³.
    params
        As `resolved` returns them.

    Raises
    ------
    ValueError
        If a package that the check needs is not installed.
    Exception
        Only for faults of the machine.
    """
    package = PACKAGES.get(check)
    if package is not None and importlib.util.find_spec(package) is None:
        raise ValueError(
            f"the check {check!r} needs {package}: pip install 'entropy_flows[physics]'"
        )
    start = time.perf_counter()
    result = None
    reason = None
    try:
        result = asdict(_result(check, atoms, calculator, params))
    except CheckError as err:
        reason = str(err)
    except Exception as err:
        # A potential can make a library of the checks raise anything.
        if is_machine_fault(err):
            raise
        reason = error_line(err, 300)
    return CheckResult(result, reason, time.perf_counter() - start)


def _result(check: CheckName, atoms: Atoms, calculator: Calculator, params: PhysicsParams) -> Any:
    """Make a check; return its dataclass."""
    vacuum = vacuum_of(atoms)
    if vacuum is not None:
        raise CheckError(f"the phase is {vacuum}: its cell cannot be relaxed as a crystal's")
    match check:
        case "enthalpy":
            return enthalpy(atoms, calculator, params, params.pressures or ())
        case "stability":
            temperature = params.temperature or 0.0
            return stability(atoms, calculator, params, temperature, params.pressure or 0.0)
        case "eos":
            return eos(atoms, calculator, params)
        case "elastic":
            return elastic(atoms, calculator, params)
        case "phonons":
            return phonons(atoms, calculator, params)
        case "vacancy":
            return vacancy(atoms, calculator, params)
        case "surfaces":
            return surfaces(atoms, calculator, params)
