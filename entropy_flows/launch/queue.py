"""Which jobs the cluster's queue still has: SLURM's, or else PBS's."""

from __future__ import annotations

import re
import shutil
import subprocess

ASK_SECONDS = 30
SLURM_ENDED = frozenset(
    (
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
    )
)
"""States in which SLURM lists a job that runs no more; COMPLETING may last for days on a node
that broke down.
"""
PBS_ENDED = frozenset("CEFX")
"""Completed, exiting, finished, expired."""


def queue_jobs() -> frozenset[str] | None:
    """Identifiers of the jobs that wait, run or are suspended.

    Returns
    -------
    frozenset of str or None
        As FireWorks keeps them: the number alone. None if this machine has no queue or it does not
        answer, from which nothing follows.
    """
    if shutil.which("squeue"):
        return _slurm(_ask("squeue", "--noheader", "--format=%i %T"))
    if shutil.which("qstat"):
        return _pbs(_ask("qstat"))
    return None


def _slurm(listing: str | None) -> frozenset[str] | None:
    if listing is None:
        return None
    lines = (line.split() for line in listing.splitlines() if line.strip())
    return frozenset(number for number, state, *_ in lines if state not in SLURM_ENDED)


def _pbs(listing: str | None) -> frozenset[str] | None:
    """Lines such as `12345.host  name  user  00:00:01 R queue`; names may be cut, and hold blanks."""
    if listing is None:
        return None
    found = re.finditer(r"^(\d+)\S*\s.*\s([A-Z])\s+\S+\s*$", listing, re.MULTILINE)
    return frozenset(match[1] for match in found if match[2] not in PBS_ENDED)


def _ask(*command: str) -> str | None:
    """What a command prints; None if it fails or does not end."""
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=ASK_SECONDS, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
