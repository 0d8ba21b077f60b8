"""Labelled cells that there are already: extended XYZ, runs of VASP, task documents in a database.

    extended XYZ      energy or free_energy (eV), forces (eV/Å),
                      stress (eV/Å³, ASE's sign) or virial (eV, −V stress)
    vasprun.xml       ionic steps, the last one or others, as `ionic` reads them
    task documents    whatever `read_label` reads, in jobflow's store or as they are

Each frame is a cell with its label, or with the reason why it has none: one bad frame costs no
other.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from entropy_flows.label.extxyz import read_extxyz
from entropy_flows.label.frame import ImportedFrame
from entropy_flows.label.frame import ImportedFrame as Existing
from entropy_flows.label.own_runs import is_run_of
from entropy_flows.label.steps import LAST, StepRule
from entropy_flows.label.tasks import read_tasks
from entropy_flows.label.vasp_runs import find_runs, is_run, read_run, read_vasprun

__all__ = [
    "Existing",  # the name in scripts that were written before 0.2
    "ImportedFrame",
    "is_run_of",
    "read_extxyz",
    "read_files",
    "read_run",
    "read_tasks",
    "read_vasprun",
]


def read_files(path: Path, rule: StepRule = LAST) -> Iterator[ImportedFrame]:
    """Read an extended XYZ file, a vasprun.xml, or every vasprun.xml at or below a folder.

    Files are told apart by what is in them. They may be compressed by gzip, bzip2 or xz.

    Parameters
    ----------
    path
        File or folder.
    rule
        Which ionic steps of runs of VASP.

    Yields
    ------
    ImportedFrame
        One frame after the other.

    Raises
    ------
    ValueError
        If there is no such file, or nothing to import in it.
    """
    if not path.exists():
        raise ValueError(
            f"{path} does not exist; expected an extended XYZ file, a vasprun.xml, or a folder of "
            f"these"
        )
    if path.is_dir():
        runs = find_runs(path)
        if not runs:
            raise ValueError(
                f"{path} has no vasprun.xml, nor is there one below it (compressed, .relax2 or "
                f"linked)"
            )
        for run in runs:
            yield from read_run(run, str(run.relative_to(path)), rule)
    elif is_run(path):
        yield from read_run(path, str(path), rule)
    else:
        yield from read_extxyz(path)
