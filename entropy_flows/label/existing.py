"""Labelled cells that there are already: extended XYZ, runs of VASP, task documents in a database.

    extended XYZ      energy or free_energy (eV), forces (eV/Å), stress (eV/Å³, ASE's sign) or virial (eV, −V stress)
    vasprun.xml       the last ionic step; E₀, F, forces and stress as `read` has them
    task documents    whatever `read_label` reads, in jobflow's store or as they are

Each frame is a cell with its label, or with the reason why it has none: one bad frame costs no other.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from entropy_flows.label.extxyz import read_extxyz
from entropy_flows.label.frame import Existing
from entropy_flows.label.own_runs import is_run_of
from entropy_flows.label.tasks import read_tasks
from entropy_flows.label.vasp_runs import read_vasprun

__all__ = ["Existing", "is_run_of", "read_extxyz", "read_files", "read_tasks", "read_vasprun"]


def read_files(path: Path) -> Iterator[Existing]:
    """Frames of an extended XYZ file, or of every vasprun.xml at or below a path; either may be compressed by gzip.

    Raises
    ------
    ValueError
        If there is no such file, or nothing to import in it.
    """
    if not path.exists():
        raise ValueError(f"{path} does not exist; expected an extended XYZ file, or a folder with vasprun.xml files")
    if path.is_file() and not path.name.startswith("vasprun"):
        yield from read_extxyz(path)
        return
    found = [path] if path.is_file() else sorted(path.rglob("vasprun.xml")) + sorted(path.rglob("vasprun.xml.gz"))
    if not found:
        raise ValueError(f"{path} has no vasprun.xml or vasprun.xml.gz, nor is there one below it")
    for file in found:
        yield read_vasprun(file, str(file if file == path else file.relative_to(path)))
