"""The numbers in the task documents of VASP, of CP2K, and of ASE's calculators and other codes."""

from __future__ import annotations

from typing import Any

from entropy_flows.label.cp2k_output import is_cp2k_task, numbers_of_cp2k
from entropy_flows.label.document import is_success, is_vasp_task, value_at
from entropy_flows.label.ionic import NO_AB_INITIO, read_step, tags_of
from entropy_flows.label.reasons import InconsistentOutputError
from entropy_flows.label.vasp_provenance import vasp_provenance

_KEPT_DENSITY = 10  # ICHARG from here on


def numbers_of(doc: Any, step: int) -> dict[str, Any]:
    """Read the numbers and the provenance of a task of any code.

    Parameters
    ----------
    doc
        As for `read_label`.
    step
        Which ionic step of a VASP run.

    Returns
    -------
    dict
        energy and perhaps free_energy (eV), forces (eV/Å), kbar (3, 3), VASP's sign, wall_seconds,
        provenance; why the run has not converged, or what contradicts what.
    """
    if is_vasp_task(doc):
        return _numbers_of_vasp(doc, step)
    if is_cp2k_task(doc):
        return numbers_of_cp2k(doc)
    return _numbers_of_others(doc)


def _numbers_of_others(doc: Any) -> dict[str, Any]:
    """Read the numbers and the provenance of a task that is not VASP's; stress in kBar."""
    numbers: dict[str, Any] = {
        "energy": value_at(doc, "output", "energy"),
        "forces": value_at(doc, "output", "forces"),
        "kbar": value_at(doc, "output", "stress"),
    }
    name = value_at(doc, "forcefield_name") or value_at(doc, "ase_calculator_name")
    if name is not None:
        numbers["wall_seconds"] = value_at(doc, "output", "elapsed_time")
        version = value_at(doc, "forcefield_version")
        return numbers | {
            "provenance": {"code": str(name).removeprefix("MLFF."), "version": version}
        }
    code = type(doc).__module__ + "." + type(doc).__name__
    numbers["kbar"] = None
    numbers["provenance"] = {"code": code, "stress": "not read: unit and sign unknown"}
    numbers["unconverged"] = (
        None if is_success(value_at(doc, "state")) else "the task's state is not 'successful'"
    )
    return numbers


def _numbers_of_vasp(doc: Any, step: int) -> dict[str, Any]:
    """Read the numbers and the provenance of one ionic step of VASP; stress in kBar."""
    calc = value_at(doc, "calcs_reversed", 0)
    ionic = read_step(calc, step)
    tags = tags_of(calc)
    provenance = vasp_provenance(calc, tags)
    numbers: dict[str, Any] = {
        "energy": value_at(doc, "output", "energy"),
        "forces": value_at(doc, "output", "forces"),
        "kbar": value_at(doc, "output", "stress"),
        "wall_seconds": value_at(calc, "output", "run_stats", "elapsed_time") or None,
        "provenance": provenance,
    }
    if ionic is None:
        provenance["free_energy"] = "E0: the document keeps no ionic steps"
        went_well = is_success(value_at(calc, "has_vasp_completed"))
        return numbers | {"unconverged": None if went_well else "the run is said to have failed"}
    if tags.get("ML_LMLFF") and not ionic.electronic_steps:
        raise InconsistentOutputError(NO_AB_INITIO)
    if int(tags.get("ICHARG") or 0) >= _KEPT_DENSITY:
        raise InconsistentOutputError(
            f"ICHARG is {tags['ICHARG']}: the density was kept as it was, not made consistent"
        )
    provenance["electronic_steps"] = ionic.electronic_steps or None
    if ionic.note is not None:
        provenance["stress"] = ionic.note
    if ionic.free_energy is None:
        provenance["free_energy"] = "E0: the document keeps no free energy"
    else:
        numbers["free_energy"] = ionic.free_energy
    numbers["energy"] = numbers["energy"] if ionic.energy is None else ionic.energy
    if ionic.forces is not None:
        numbers |= {"forces": ionic.forces, "kbar": ionic.stress}
    if ionic.note is not None:
        numbers["kbar"] = None
    return numbers | {"unconverged": ionic.unconverged, "contradiction": ionic.contradiction}
