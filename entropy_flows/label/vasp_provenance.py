"""Provenance of a label of VASP: version, functional, cutoff, k points, pseudopotentials."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from entropy_flows.label.document import text_of, value_at

_MESHES = ("gamma", "monkhorst")
_TAGS = (
    *("GGA", "METAGGA", "LUSE_VDW", "BPARAM", "CPARAM", "IVDW", "LASPH", "LHFCALC"),
    *("ISPIN", "ISMEAR", "SIGMA", "ENCUT", "EDIFF", "PREC"),
)


def vasp_provenance(calc: Any, tags: Mapping[str, Any]) -> dict[str, Any]:
    """Build the provenance of a label of VASP.

    The run type says r²SCAN with and without rVV10 alike, so the tags that tell them apart are kept
    beside it.

    Parameters
    ----------
    calc
        Calculation of a task document, or its dictionary.
    tags
        Its INCAR tags and parameters.

    Returns
    -------
    dict
        Plain JSON.
    """
    return {
        "code": "VASP",
        "version": value_at(calc, "vasp_version"),
        "run_type": text_of(value_at(calc, "run_type")),
        **{tag: tags[tag] for tag in _TAGS if tags.get(tag) is not None},
        "kpoints": _mesh(value_at(calc, "input", "kpoints")),
        "n_kpoints": value_at(calc, "input", "nkpoints"),
        "potcar": value_at(calc, "input", "potcar") or None,
        "potcar_titles": [
            value_at(p, "titel") for p in value_at(calc, "input", "potcar_spec") or []
        ]
        or None,
        "electronic_steps": None,
        "directory": value_at(calc, "dir_name"),
    }


def _mesh(kpoints: Any) -> dict[str, Any] | None:
    """Return style and divisions of KPOINTS; of a list of points only their number."""
    if kpoints is None:
        return None
    style = value_at(kpoints, "style") or value_at(kpoints, "generation_style")
    # The values of pymatgen's styles are numbers.
    name = style.name if isinstance(style, Enum) else text_of(style)
    points = value_at(kpoints, "kpts") or value_at(kpoints, "kpoints") or []
    if len(points) == 1 and name.lower().startswith(_MESHES):
        return {"style": name, "mesh": [int(n) for n in points[0]]}
    return {"style": name, "n_points": len(points)}
