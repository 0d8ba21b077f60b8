"""Training programs, each in a process that ends with its parent, and the cause of a failure."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from entropy_flows.allocator import allocator_variables
from entropy_flows.faults import GPU_MEMORY_WORDS, MACHINE_WORDS, MachineError
from entropy_flows.processes import child
from entropy_flows.train.python import HERE, TrainingPython

POLL_SECONDS = 0.5
TAIL_LINES = 20
OTHER_MACHINE_WORDS = (
    *MACHINE_WORDS,
    "received sigterm",
    "modulenotfounderror",
    "importerror",
    "memoryerror",
    "no supported gpu backend found",
)


class TrainingError(RuntimeError):
    """Training or packaging did not finish; the message ends with the last lines of its log."""


class GpuMemoryError(MachineError):
    """A batch did not fit into the GPU's memory."""


def run_program(
    name: str,
    program: str | Path,
    arguments: Sequence[str],
    workdir: Path,
    success: str,
    lock: int,
    watch: Callable[[], bool | None] | None = None,
    python: TrainingPython = HERE,
) -> None:
    """Run a program to its end, or until `watch` stops it.

    Only the program's own closing line means success: terminated by a signal, `nequip-train` exits
    with 0 as well.

    Parameters
    ----------
    name
        Its name in messages; its output goes to `run/<name>.console.log`.
    program
        Python module that is run as a script, or the path of a script.
    arguments
        Its command line.
    workdir
        Folder it is run in.
    success
        Text the output holds if all went well.
    lock
        Descriptor of the folder's lock, which the program holds as well.
    watch
        Called about twice a second while it runs, and once more when it has ended. If it returns
        True, the program is ended there.
    python
        The Python that runs it.

    Raises
    ------
    TrainingError
        If it fails, with the end of its output.
    MachineError
        If it was killed, or the machine's disk or memory did not suffice.
    GpuMemoryError
        If it was the GPU's memory.
    """
    log = workdir / "run" / f"{name}.console.log"
    command = python.command(program, arguments)
    options = {
        "cwd": workdir,
        "env": _environment(),
        "pass_fds": (lock,),
        "stderr": subprocess.STDOUT,
    }
    with open(log, "w") as out, child(command, stdout=out, **options) as process:
        while process.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(POLL_SECONDS)
            # Once more when the program has ended, for the epochs of the last half second.
            if watch is not None and watch():
                return
    text = log.read_text(errors="replace")
    if process.returncode != 0 or success not in text:
        error = fault(process.returncode, text)
        tail = "\n".join(text.splitlines()[-TAIL_LINES:])
        disk_error = _disk_error(workdir) if error is TrainingError else None
        if disk_error is not None:
            # A full disk has no room for its reason in the log.
            error = MachineError
            tail = f"{tail}\n{disk_error}"
        raise error(f"{name} {_ending(process.returncode)}, without '{success}':\n{tail}")


def fault(code: int, text: str) -> type[RuntimeError]:
    """Return the error that says whose fault a failed program is.

    Parameters
    ----------
    code
        Its exit code; negative if a signal ended it.
    text
        Its output.

    Returns
    -------
    type
        `GpuMemoryError`, `MachineError` or, for a failure of the training itself, `TrainingError`.
    """
    lower = text.lower()
    if any(words in lower for words in GPU_MEMORY_WORDS):
        return GpuMemoryError
    if code < 0 or any(words in lower for words in OTHER_MACHINE_WORDS):
        return MachineError
    return TrainingError


def _ending(code: int) -> str:
    return f"ended with code {code}" if code >= 0 else f"was killed by signal {-code}"


def _environment() -> dict[str, str]:
    """Return the environment of a program.

    One thread, one process, whole error messages, and freed memory is kept.
    """
    # Lightning would count SLURM's tasks, and refuse or fall silent.
    outer = {key: value for key, value in os.environ.items() if not key.startswith("SLURM_")}
    # Two threads on busy cores are slower than one.
    alone = {"OMP_NUM_THREADS": "1", **outer, "HYDRA_FULL_ERROR": "1"}
    # asking whether there is a GPU must not start CUDA, which does not survive a fork
    alone["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"
    return {**allocator_variables(alone), **alone}


def _disk_error(folder: Path) -> OSError | None:
    """Return the error with which a folder's disk refuses to be written to; None if it takes it."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(1 << 20))
            file.flush()
            os.fsync(file.fileno())
    except OSError as err:
        return err
    return None
