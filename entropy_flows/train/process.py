"""NequIP's commands, each in a process that ends with ours."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from entropy_flows.processes import child

POLL_SECONDS = 0.5
TAIL_LINES = 20


class TrainingError(RuntimeError):
    """Training or packaging did not finish; the message ends with the last lines of its log."""


def run_nequip(
    script: str, arguments: Sequence[str], folder: Path, success: str, watch: Callable[[], None] | None = None
) -> None:
    """Run one of NequIP's commands to its end.

    Only the command's own closing line tells success: terminated by a signal, `nequip-train` exits with 0 as well.

    Parameters
    ----------
    script
        `train` or `package`.
    arguments
        Its command line.
    folder
        Where its output goes, as `<script>.console.log`.
    success
        Text the output holds if all went well.
    watch
        Called about twice a second while it runs, and once more when it has ended.

    Raises
    ------
    TrainingError
        If it fails, with the end of its output.
    """
    log = folder / f"{script}.console.log"
    # -P keeps the current folder out of the module path; one thread, because two on busy cores are slower than one
    command = [sys.executable, "-P", "-m", f"nequip.scripts.{script}", *arguments]
    environment = {"OMP_NUM_THREADS": "1", **os.environ, "HYDRA_FULL_ERROR": "1"}
    with open(log, "w") as out, child(command, stdout=out, stderr=subprocess.STDOUT, env=environment) as process:
        while process.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(POLL_SECONDS)
            if watch is not None:
                watch()
    text = log.read_text(errors="replace")
    if process.returncode != 0 or success not in text:
        tail = "\n".join(text.splitlines()[-TAIL_LINES:])
        raise TrainingError(f"nequip-{script} ended with code {process.returncode}, without '{success}':\n{tail}")
