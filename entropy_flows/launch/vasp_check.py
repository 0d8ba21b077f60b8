"""What keeps VASP from running well in a cluster's queue, as far as it can be seen from the machine that submits."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

CORES = ("nodes", "ntasks", "ntasks_per_node", "cpus_per_task", "nnodes", "ppnode")
"""Keys of a queue file whose product is a job's cores."""
GPUS = ("gres", "gpus", "gpus_per_node", "gpus_per_task")


def vasp_warnings(path: Path, asked: dict[str, Any], maker: Any) -> list[str]:
    """Whether VASP's queue jobs have more than one core, its command uses them, and its POTCARs are found.

    Parameters
    ----------
    path
        The labels' queue file.
    asked
        What it says, with what the campaign changes of it.
    maker
        The label engine, a Maker of VASP jobs.
    """
    from atomate2 import SETTINGS
    from pymatgen.io.vasp.inputs import SETTINGS as PYMATGEN

    found = []
    if _is_serial(asked):
        found.append(
            f"{path}: one task, so VASP would run on one core; set ntasks (`launchers` has --ntasks-dft)"
        )
    command = shlex.split(str(maker.run_vasp_kwargs.get("vasp_cmd") or SETTINGS.VASP_CMD))
    if len(command) == 1 and Path(command[0]).name.startswith("vasp"):
        found.append(
            f"VASP's command is {command[0]!r}: one task, however many the queue job has; "
            f"write `VASP_CMD: srun vasp_std` (or mpirun) to ~/.atomate2.yaml"
        )
    potcars = PYMATGEN.get("PMG_VASP_PSP_DIR")
    if potcars is None or not Path(potcars).is_dir():
        said = "is not set here" if potcars is None else f"{potcars} is not a folder"
        found.append(f"no POTCARs: PMG_VASP_PSP_DIR {said}; write it to ~/.pmgrc.yaml")
    return found


def _is_serial(asked: dict[str, Any]) -> bool:
    """Whether a queue job has one core and no GPU, as SLURM's keys or PBS' `select` say it."""
    if any(asked.get(key) for key in GPUS):
        return False
    if asked.get("select"):
        return re.fullmatch(r"1:ncpus=1(:mpiprocs=1)?", str(asked["select"])) is not None
    return all(str(asked.get(key) or 1) == "1" for key in CORES)
