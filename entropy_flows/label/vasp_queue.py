"""Checks of a cluster's queue for VASP, as far as the machine that submits can see."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from entropy_flows.label.vasp_preflight import potcar_library, potcar_setting, vasp_commands

if TYPE_CHECKING:
    from jobflow import Maker

CORES = ("nodes", "ntasks", "ntasks_per_node", "cpus_per_task", "nnodes", "ppnode")
"""Keys of a queue file whose product is a job's cores."""
GPUS = ("gres", "gpus", "gpus_per_node", "gpus_per_task")


def vasp_warnings(queue_file: Path, keys: Mapping[str, Any], maker: Maker) -> list[str]:
    """Return what keeps VASP from running well in a queue's jobs, a sentence each.

    A job should have more than one core, VASP's command should use them, and its POTCARs should be
    found.

    Parameters
    ----------
    queue_file
        The labels' queue file.
    keys
        Its keys and values, with the campaign's changes.
    maker
        The label engine's Maker.
    """
    warnings = []
    if _is_serial(keys):
        warnings.append(
            f"{queue_file}: one task, so VASP would run on one core; set ntasks "
            f"(`launchers` has --ntasks-dft)"
        )
    command = shlex.split(vasp_commands(maker)[0])
    if len(command) == 1 and Path(command[0]).name.startswith("vasp"):
        warnings.append(
            f"VASP's command is {command[0]!r}: one task, however many the queue job has; "
            f"write `VASP_CMD: srun vasp_std` (or mpirun) to ~/.atomate2.yaml"
        )
    if potcar_library() is None:
        folder = potcar_setting()
        problem = "is not set here" if folder is None else f"{folder} is not a folder"
        warnings.append(f"no POTCARs: PMG_VASP_PSP_DIR {problem}; write it to ~/.pmgrc.yaml")
    return warnings


def _is_serial(keys: Mapping[str, Any]) -> bool:
    """Return whether a job has one core and no GPU by SLURM's keys or PBS' `select`."""
    if any(keys.get(key) for key in GPUS):
        return False
    if keys.get("select"):
        return re.fullmatch(r"1:ncpus=1(:mpiprocs=1)?", str(keys["select"])) is not None
    return all(str(keys.get(key) or 1) == "1" for key in CORES)
