"""Runs of VASP as labelled cells, read from vasprun.xml."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from entropy_flows.label.frame import Existing, sha256_of
from entropy_flows.label.tasks import of_task


def read_vasprun(path: Path, place: str) -> Existing:
    """The last ionic step of a run of VASP, read by pymatgen."""
    from pymatgen.io.vasp import Vasprun

    source = {"file": place, "sha256": sha256_of(path)}
    try:
        run = Vasprun(path, parse_dos=False, parse_eigen=False, parse_potcar_file=False)
        last = run.ionic_steps[-1]
        symbols = [title.split()[1] for title in run.potcar_symbols]
        inputs: dict[str, Any] = {
            "incar": dict(run.incar),
            "parameters": dict(run.parameters),
            "kpoints": run.kpoints.as_dict(),
        }
        inputs["potcar_type"] = [title.split()[0] for title in run.potcar_symbols]
        calculation = {
            "vasp_version": run.vasp_version,
            "has_vasp_completed": "successful" if run.converged_electronic else "failed",
            "run_type": run.run_type,
            "input": {**inputs, "nkpoints": len(run.actual_kpoints), "potcar": symbols},
            "output": {"ionic_steps": [last]},
        }
        output = {"energy": run.final_energy, **{name: last.get(name) for name in ("forces", "stress")}}
    except Exception as err:  # a file that was cut off ends in many ways
        return Existing(place, source, defect=f"not readable: {type(err).__name__}: {err}")
    task = {"output": {**output, "structure": run.final_structure}, "calcs_reversed": [calculation]}
    return of_task(task, place, source)
