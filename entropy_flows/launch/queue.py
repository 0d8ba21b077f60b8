"""Ask the cluster which jobs its queue still has: SLURM's, or else PBS's."""

from __future__ import annotations

import re
import shutil
import subprocess

ASK_SECONDS = 30
"""Time that the queue has to answer."""
SLURM_ENDED = frozenset(
    [
        "BOOT_FAIL",
        "CANCELLED",
        "COMPLETED",
        "COMPLETING",
        "DEADLINE",
        "FAILED",
        "NODE_FAIL",
        "OUT_OF_MEMORY",
        "PREEMPTED",
        "REVOKED",
        "TIMEOUT",
    ]
)
"""States in which SLURM lists a job that runs no more.

COMPLETING may last for days on a node that broke down.
"""
PBS_ENDED = frozenset("CEFX")
"""States completed, exiting, finished and expired of PBS."""


def queue_jobs() -> frozenset[str] | None:
    """Return the identifiers of the jobs that wait, run or are suspended.

    Returns
    -------
    frozenset of str or None
        The numbers alone, as FireWorks keeps them. None if this machine has no queue or it does not
        answer, from which nothing follows.
    """
    if shutil.which("squeue"):
        return _slurm_jobs(_ask("squeue", "--noheader", "--format=%i %T"))
    if shutil.which("qstat"):
        return _pbs_jobs(_ask("qstat"))
    return None


def _slurm_jobs(listing: str | None) -> frozenset[str] | None:
    if listing is None:
        return None
    lines = (line.split() for line in listing.splitlines() if line.strip())
    return frozenset(number for number, state, *_ in lines if state not in SLURM_ENDED)


def _pbs_jobs(listing: str | None) -> frozenset[str] | None:
    """Read lines such as `12345.host  name  user  00:00:01 R queue`.

    Names in them may be cut, and hold blanks.
    """
    if listing is None:
        return None
    matches = re.finditer(r"^(\d+)\S*\s.*\s([A-Z])\s+\S+\s*$", listing, re.MULTILINE)
    return frozenset(match[1] for match in matches if match[2] not in PBS_ENDED)


def _ask(*command: str) -> str | None:
    """Return what a command prints; None if it fails or does not end."""
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, timeout=ASK_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout
