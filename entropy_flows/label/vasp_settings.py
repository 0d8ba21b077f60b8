"""Hash input of a VASP Maker: the tags it writes, its k-point rule, its pseudopotentials."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from entropy_flows.faults import is_machine_fault
from entropy_flows.label.vasp_inputs import input_set_of, takes_site_updates

if TYPE_CHECKING:
    from jobflow import Maker
    from pymatgen.io.vasp.sets import VaspInputSet

# These tags decide how fast and by which way the same numbers are reached, and what is written.
_NOT_PHYSICS = {
    *("NCORE", "NPAR", "KPAR", "NSIM", "LPLANE", "LSCALU", "LSCALAPACK", "NWRITE", "SYSTEM"),
    *("LWAVE", "LCHARG", "LVTOT", "LVHAR", "LORBIT", "LELF", "LAECHG"),
    *("ALGO", "IALGO", "LDIAG", "LSUBROT", "ISTART", "NELM", "NELMIN", "NELMDL", "TIME", "ISEARCH"),
    *("AMIX", "BMIX", "AMIN", "AMIX_MAG", "BMIX_MAG", "IMIX", "INIMIX", "MAXMIX", "MIXPRE", "WC"),
    *("LMIXTAU", "LMAXMIX"),
}
# Custodian's repairs that leave the numbers alone: more bands than too few, and the whole mesh in
# place of its irreducible part. If a user asks for them, they stay part of the hash.
_HARMLESS_REPAIRS = {"NBANDS", "ISYM", "SYMPREC"}
# How the ions move from one ionic step to the next: idle where they do not.
MOTION = {
    *("NSW", "IBRION", "ISIF", "EDIFFG", "POTIM", "NFREE", "IWAVPR", "NBLOCK", "KBLOCK"),
    *("APACO", "NPACO", "SMASS", "MDALGO", "TEBEG", "TEEND", "PMASS"),
    *("ANDERSEN_PROB", "LANGEVIN_GAMMA", "LANGEVIN_GAMMA_L"),
}
_TABLES = ("MAGMOM", "LDAUU", "LDAUJ", "LDAUL")  # by element
_SELF_CONSISTENT = 10  # ICHARG below it says where to start, above it what to keep
_PROBES = ([4.0, 4.0, 4.0], [3.0, 5.5, 23.0])  # Å; two cells tell one mesh rule from another
_FLAGS = (
    *("auto_ismear", "auto_ispin", "auto_lreal", "auto_kspacing", "standardize"),
    *("reduce_structure",),
    *("constrain_total_magmom", "use_structure_charge"),
)


def vasp_settings(maker: Maker) -> dict[str, Any]:
    """Return all that decides a VASP Maker's numbers, as plain JSON."""
    generator = input_set_of(maker)
    meshes = [_on_a_probe(maker, abc).kpoints for abc in _PROBES]
    return {
        "code": "VASP",
        "incar": deciding_tags(resolved_incar(maker)),
        "kpoints": [
            m and {"style": str(m.style), "kpts": np.asarray(m.kpts).tolist()} for m in meshes
        ],
        "potcar_functional": generator.user_potcar_functional,
        "potcar": dict(generator._config_dict["POTCAR"]),
        "flags": {flag: getattr(generator, flag, None) for flag in _FLAGS},
    }


def resolved_incar(maker: Maker) -> dict[str, Any]:
    """Return the INCAR tags that a VASP Maker writes whatever the cell.

    They are those of a cell of silicon. What depends on the elements stays a table by element.

    Parameters
    ----------
    maker
        A Maker with an input set.

    Returns
    -------
    dict
        Tag to value, removed tags absent; MAGMOM and LDAU tags are tables by element and absent
        where unused.
    """
    from atomate2 import SETTINGS

    generator = _on_a_probe(maker, _PROBES[0])
    updates = {
        **generator._config_dict["INCAR"],
        **generator.incar_updates,
        **generator.user_incar_settings,
    }
    tables = {tag: value for tag, value in updates.items() if value is not None}
    tags = _written(generator, tables)
    # The probe is silicon, for whose states the set may write no U.
    if tables.get("LDAU"):
        tags |= {tag: value for tag, value in tables.items() if tag.startswith("LDAU")}
    tags |= {tag: tables[tag] for tag in _TABLES if tag in tags and tag in tables}
    if takes_site_updates(maker):
        site_updates = SETTINGS.VASP_INCAR_UPDATES
        tags |= {tag: value for tag, value in site_updates.items() if value is not None}
    if tags.get("ISPIN", 1) == 1:
        tags.pop("MAGMOM", None)
    return tags


def _written(generator: VaspInputSet, tables: dict[str, Any]) -> dict[str, Any]:
    """Return the INCAR of the probe; for a set that writes none for it, what it was given."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return dict(generator.incar)
        except Exception as err:  # a set may know some elements alone
            if is_machine_fault(err):
                raise
            return {
                tag: value
                for tag, value in tables.items()
                if tables.get("LDAU") or not tag.startswith("LDAU")
            }


def deciding_tags(incar: Mapping[str, Any], repaired: bool = False) -> dict[str, Any]:
    """Return the INCAR tags that decide the numbers, with one spelling for each value.

    Parameters
    ----------
    incar
        Tag to value.
    repaired
        Whether to leave out what custodian may change without harm (bands, use of symmetry).

    Returns
    -------
    dict
        The tags left.
    """
    idle = _NOT_PHYSICS | _HARMLESS_REPAIRS if repaired else _NOT_PHYSICS
    if not incar.get("NSW"):
        idle = idle | MOTION
    tags = {tag: _canonical(value) for tag, value in incar.items() if tag not in idle}
    # A table belongs to the engine, a list to the cell that has these moments.
    if not isinstance(tags.get("MAGMOM"), Mapping):
        tags.pop("MAGMOM", None)
    if tags.get("ICHARG", _SELF_CONSISTENT) < _SELF_CONSISTENT:
        del tags["ICHARG"]
    return tags


def _canonical(value: Any) -> Any:
    """Make one value of VASP's several spellings: 600 and 600.0, Pe and PE."""
    if isinstance(value, str):
        return value.upper()
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    return value


def _on_a_probe(maker: Maker, abc: Sequence[float]) -> VaspInputSet:
    """Copy the Maker's input set, and give it one atom of silicon in a box of these lengths (Å)."""
    from pymatgen.core import Lattice, Structure

    generator = input_set_of(maker)
    generator.structure = Structure(Lattice(np.diag(abc)), ["Si"], [[0, 0, 0]])
    return generator
