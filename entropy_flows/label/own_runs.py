"""Recognise runs of VASP whose inputs are those that the campaign's Maker writes for their cell.

INCAR is compared by the tags that decide the numbers of one ionic step, to the digits that
vasprun.xml has of them. How ions move decides nothing, as long as the cell is fixed: the plane
waves of a run with ISIF ≥ 3 are those of its first cell. A tag that vasprun.xml does not repeat
from INCAR is looked up among its parameters.

    N_i = max(1, ⌈2π |b_i| / KSPACING⌉)    within 1, as versions of VASP round differently

    N_i   divisions along the i-th reciprocal vector b_i (Å⁻¹, a_i · b_j = δ_ij)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from entropy_flows.faults import is_machine_fault
from entropy_flows.label.frame import ImportedFrame

if TYPE_CHECKING:
    from jobflow import Maker
    from pymatgen.core import Lattice, Structure

    from entropy_flows.label.vasp_inputs import Inputs

_RELATIVE = 1e-6
_PRINTED = 5.1e-9  # half of the last digit in vasprun.xml
_FIXED_CELL = 2  # ISIF up to here
_MESHES = ("gamma", "monkhorst")


def is_run_of(frame: ImportedFrame, maker: Maker) -> bool:
    """Return whether a frame is a run of VASP with the inputs that a Maker gives its cell.

    The date of a pseudopotential is not looked at, only its symbol and that it is PBE or not.

    Parameters
    ----------
    frame
        The frame.
    maker
        The campaign's own static Maker.

    Returns
    -------
    bool
        False, too, if the Maker is not of VASP or writes no inputs for this cell.
    """
    from entropy_flows.label.vasp_inputs import planned_inputs

    if frame.inputs is None or frame.structure is None or frame.label is None:
        return False
    try:
        planned = planned_inputs(frame.structure, maker)
    except Exception as err:  # no Maker of VASP's, or one that does not know these elements
        if is_machine_fault(err):
            raise
        return False
    mesh = frame.label.provenance.get("kpoints") or {}
    return (
        _same_incar(
            frame.inputs, planned.incar, _order(frame.structure), planned.poscar.site_symbols
        )
        and _same_kpoints(mesh, frame.inputs.get("kpoints"), planned, frame.structure.lattice)
        and _same_potcars(frame.inputs, planned)
    )


def _same_incar(
    inputs: Mapping[str, Any],
    planned: Mapping[str, Any],
    order: Sequence[str],
    planned_order: Sequence[str],
) -> bool:
    """Return whether INCAR's tags are the planned ones; the orders are the POSCARs' species."""
    from entropy_flows.label.vasp_settings import deciding_tags

    written, parameters = (
        _by_species(deciding_tags(_of_one_step(inputs.get(key) or {}), repaired=True), order)
        for key in ("incar", "parameters")
    )
    expected = _by_species(deciding_tags(planned, repaired=True), planned_order)
    if any(tag not in expected for tag in written):
        return False
    return all(
        _same(written.get(tag, parameters.get(tag)), value) for tag, value in expected.items()
    )


def _order(structure: Structure) -> list[str]:
    """Return the elements in the order of their first atoms."""
    return list(dict.fromkeys(site.specie.symbol for site in structure))


def _by_species(tags: dict[str, Any], order: Sequence[str]) -> dict[str, Any]:
    """Sort lists of tags for the species, which are in POSCAR's order, by element."""
    for tag in ("LDAUU", "LDAUJ", "LDAUL"):
        if isinstance(values := tags.get(tag), list | tuple) and len(values) == len(order):
            tags[tag] = [value for _, value in sorted(zip(order, values, strict=True))]
    return tags


def _of_one_step(incar: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tags of a run that moved its ions in a fixed cell, as if it had not."""
    from entropy_flows.label.ionic import ions_move
    from entropy_flows.label.vasp_settings import MOTION

    default_isif = 0 if incar.get("IBRION") == 0 else 2
    cell_moves = int(incar.get("ISIF", default_isif)) > _FIXED_CELL
    if not ions_move(incar) or cell_moves:
        return dict(incar)
    return {
        tag: value
        for tag, value in incar.items()
        if tag not in MOTION and not tag.startswith("ML_")
    }


def _same(value: Any, other: Any) -> bool:
    """Return whether two values of a tag are the same to the digits that are printed."""
    if isinstance(value, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(value) == len(other) and all(map(_same, value, other))
    if not _is_number(value) or not _is_number(other):
        return value == other
    return math.isclose(value, other, rel_tol=_RELATIVE, abs_tol=_PRINTED)


def _is_number(value: Any) -> bool:
    """Return whether a value is a number; a logical is none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _same_kpoints(mesh: Mapping[str, Any], written: Any, planned: Inputs, lattice: Lattice) -> bool:
    """Return whether a run's k points are the planned ones.

    Parameters
    ----------
    mesh
        Style and divisions of the run, as its label's provenance has them.
    written
        The run's k points in full, as a dictionary, or None.
    planned
        What the Maker writes.
    lattice
        Of the cell.
    """
    style = str(mesh.get("style", "")).lower()
    divisions = mesh.get("mesh")
    if planned.kpoints is None:
        spacing = float(planned.incar.get("KSPACING", 0.5))
        return divisions is None or _within_one(divisions, spacing, lattice)
    if planned.mesh is None:
        return divisions is None and mesh.get("n_points") == len(planned.kpoints.kpts)
    shift = written.get("usershift") if isinstance(written, Mapping) else None
    difference = np.subtract(shift or (0, 0, 0), planned.kpoints.kpts_shift or (0, 0, 0))
    # A mesh of odd divisions is the same for Monkhorst and Pack as around Γ.
    is_odd = all(n % 2 for n in planned.mesh)
    same_style = style.startswith("gamma" if planned.style == "Gamma" else "monkhorst")
    return (
        divisions == planned.mesh
        and (same_style or (is_odd and style.startswith(_MESHES)))
        and bool(np.allclose(difference, np.round(difference)))
    )


def _within_one(divisions: Sequence[int], spacing: float, lattice: Lattice) -> bool:
    """Return whether a mesh is that of KSPACING (Å⁻¹, with 2π), give or take one division."""
    lengths = np.array(lattice.reciprocal_lattice.abc)
    expected = np.maximum(1, np.ceil(lengths / spacing - 1e-9))
    return bool((np.abs(np.asarray(divisions) - expected) <= 1).all())


def _same_potcars(inputs: Mapping[str, Any], planned: Inputs) -> bool:
    pbe = {str(kind).upper().endswith("PBE") for kind in inputs.get("potcar_type") or []}
    functional = planned.potcar_functional.upper()
    return sorted(inputs.get("potcar") or []) == sorted(planned.potcar) and pbe == {
        functional.startswith("PBE")
    }
