"""Whether a run of VASP is the campaign's own: its inputs are those that the campaign's Maker writes."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING

from entropy_flows.label.frame import Existing

if TYPE_CHECKING:
    from jobflow import Maker


def is_run_of(found: Existing, maker: Maker) -> bool:
    """Whether a frame is a run of VASP with the INCAR, the mesh and the POTCAR symbols that a Maker gives its cell.

    The date of a pseudopotential is not looked at, only its symbol and that it is PBE or not.
    """
    from entropy_flows.label import dft

    if found.inputs is None or found.structure is None or found.label is None:
        return False
    with tempfile.TemporaryDirectory() as folder:
        try:
            wanted = dft.write_inputs(found.structure, maker, folder)
        except ValueError:  # no Maker of VASP's, or one that does not know these elements
            return False
    mesh = found.label.provenance.get("kpoints") or {}
    pbe = [str(kind).upper().endswith("PBE") for kind in found.inputs.get("potcar_type") or []]
    return (
        dft.deciding_tags(found.inputs["incar"], mended=True) == dft.deciding_tags(wanted["incar"], mended=True)
        and str(mesh.get("style", "")).lower().startswith("gamma")
        and mesh.get("mesh") == wanted["kpoints"]
        and sorted(found.inputs.get("potcar") or []) == sorted(wanted["potcar"])
        and bool(pbe)
        and set(pbe) == {str(wanted["potcar_functional"] or "PBE").upper().startswith("PBE")}
    )
