"""States of a campaign's jobs, the same under every workflow manager, and in words."""

from __future__ import annotations

from collections.abc import Mapping

STATE_WORDS = {
    "COMPLETED": "completed",
    "RUNNING": "running",
    "READY": "ready",
    "QUEUED": "in the queue",
    "WAITING": "waiting",
    "FAILED": "failed (entropy-flows repair)",
    "PAUSED": "paused (entropy-flows resume)",
    "CANCELLED": "cancelled (entropy-flows resume)",
    "ARCHIVED": "archived (for good: submit under a new name)",
}
"""State → words, with what lets such a job go on where somebody has to do something."""
ACTIVE_STATES = ("READY", "QUEUED", "RUNNING")
"""States of jobs that run, or will without anybody's doing."""
TAKEN_STATES = ("RUNNING", "QUEUED")
"""States of jobs that somebody works on, or that a queue has."""
HELD_STATES = ("PAUSED", "CANCELLED", "ARCHIVED")
"""States that somebody gave a job, and in which it stays until somebody changes it."""
RELEASED_STATES = ("PAUSED", "CANCELLED")
"""Those of them that `entropy-flows resume` takes a job out of."""
ENDED_STATES = ("COMPLETED", "ARCHIVED")
"""States of jobs that will not run any more."""
UNFINISHED_STATES = ("READY", "WAITING", "PAUSED", "CANCELLED")
"""States of jobs that no worker has taken, or that have not ended since."""


def job_line(counts: Mapping[str, int]) -> str:
    """Write the number of jobs by state, also of states that are not listed here."""
    order = [*STATE_WORDS, *sorted(counts.keys() - STATE_WORDS.keys())]
    words = [
        f"{counts[state]} {STATE_WORDS.get(state, state.lower())}"
        for state in order
        if counts.get(state)
    ]
    return ", ".join(words)
