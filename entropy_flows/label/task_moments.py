"""Initial and final magnetic moments in task documents and files.

VASP prints the final moments of its last ionic step to OUTCAR, not to vasprun.xml: per atom, within
spheres (LORBIT ≥ 10), and of the whole cell. CP2K's stand on the sites of the final cell, where
`Cp2kStaticMaker` puts them. ASE's calculators give those of the atoms with each step's results.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from entropy_flows.conventions import Array
from entropy_flows.label.cp2k_output import is_cp2k_task
from entropy_flows.label.document import is_vasp_task, value_at
from entropy_flows.label.ionic import tags_of
from entropy_flows.moments import SITE_PROPERTY, collinear


def final_moments(doc: Any, n_atoms: int, step: int = -1) -> dict[str, Any]:
    """Read the final moments in a task document, in its own order of atoms.

    Parameters
    ----------
    doc
        As for `read_label`.
    n_atoms
        Number of atoms.
    step
        Ionic step of a VASP run; only the last one has moments.

    Returns
    -------
    dict
        magmoms, (n,) in μ_B, and total_magmom, of the cell; None where there are none, or where
        they are not collinear.
    """
    if is_cp2k_task(doc):
        moments = _one_each(_of_sites(doc), n_atoms)
        total = None if moments is None else float(moments.sum())
        return {"magmoms": moments, "total_magmom": total}
    if not is_vasp_task(doc):
        of_step = value_at(doc, "output", "ionic_steps", step, "magmoms")
        return {"magmoms": _one_each(of_step, n_atoms), "total_magmom": None}
    calc = value_at(doc, "calcs_reversed", 0)
    steps = value_at(calc, "output", "ionic_steps") or []
    if step not in (-1, len(steps) - 1):
        return {"magmoms": None, "total_magmom": None}
    rows = value_at(calc, "output", "outcar", "magnetization") or []
    moments = _one_each([value_at(row, "tot") for row in rows], n_atoms)
    total = value_at(calc, "output", "outcar", "total_magnetization")
    return {
        "magmoms": _one_each(_of_sites(doc), n_atoms) if moments is None else moments,
        "total_magmom": float(total) if isinstance(total, int | float) else None,
    }


def take_moments(columns: dict[str, Any], info: dict[str, Any]) -> dict[str, Any]:
    """Take the final moments out of an extended XYZ frame, under ASE's names.

    These are `magmoms` of the atoms and `magmom` of the cell.

    Parameters
    ----------
    columns, info
        What the frame has beside its label; the moments are taken out of them.

    Returns
    -------
    dict
        What there is. `initial_magmoms`, where the calculation began, stays where it is.
    """
    results: dict[str, Any] = {}
    for name in ("magmoms", "REF_magmoms"):
        if name in columns:
            results.setdefault("magmoms", columns.pop(name))
    for name in ("magmom", "REF_magmom"):
        if isinstance(info.get(name), int | float):
            results.setdefault("magmom", float(info.pop(name)))
    return results


def initial_moments(doc: Any, n_atoms: int) -> Array | None:
    """Read the MAGMOM (n,) in μ_B that a spin-polarised run of VASP started from.

    It is in the order of the run's atoms, and None for any other run.
    """
    if not is_vasp_task(doc):
        return None
    tags = tags_of(value_at(doc, "calcs_reversed", 0))
    magmom = tags.get("MAGMOM") if tags.get("ISPIN") == 2 else None
    return _one_each(magmom, n_atoms) if isinstance(magmom, list | tuple) else None


def _of_sites(doc: Any) -> list[Any]:
    """Read the moments on the sites of the final cell."""
    structure = value_at(doc, "output", "structure")
    sites = value_at(structure, "sites") if isinstance(structure, Mapping) else structure
    values = [value_at(site, "properties", SITE_PROPERTY) for site in sites or []]
    return [] if any(value is None for value in values) else values


def _one_each(values: Any, n_atoms: int) -> Array | None:
    """Return moments as numbers; None if one is missing, or if they are not along one axis."""
    if values is None or len(values) != n_atoms or n_atoms == 0:
        return None
    try:
        return collinear(values)
    except ValueError:
        return None
