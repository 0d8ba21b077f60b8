"""States of a campaign's jobs, in FireWorks' names and in words."""

from __future__ import annotations

import json
from collections.abc import Mapping

STATE_WORDS = {
    "COMPLETED": "completed",
    "RUNNING": "running",
    "READY": "ready",
    "RESERVED": "reserved",
    "WAITING": "waiting",
    "FIZZLED": "fizzled (entropy-flows repair)",
    "PAUSED": "paused (lpad resume_fws)",
    "DEFUSED": "defused (lpad reignite_fws)",
    "ARCHIVED": "archived (for good: submit under a new name)",
}
"""State → words, with what lets such a job go on where somebody has to do something."""
ACTIVE_STATES = ("READY", "RESERVED", "RUNNING")
"""States of jobs that run, or will without anybody's doing."""
HELD_STATES = ("PAUSED", "DEFUSED", "ARCHIVED")
"""States that somebody gave a job by `lpad`, and in which it stays until somebody changes it."""
ENDED_STATES = ("COMPLETED", "ARCHIVED")
"""States of jobs that will not run any more."""
RELEASE_COMMANDS = {"PAUSED": "resume_fws", "DEFUSED": "reignite_fws"}
"""State → command of `lpad` that takes jobs out of it."""


def job_line(counts: Mapping[str, int]) -> str:
    """Write the number of jobs by state, also of states that are not listed here."""
    order = [*STATE_WORDS, *sorted(counts.keys() - STATE_WORDS.keys())]
    words = [
        f"{counts[state]} {STATE_WORDS.get(state, state.lower())}"
        for state in order
        if counts.get(state)
    ]
    return ", ".join(words)


def release_lines(campaign: str, counts: Mapping[str, int]) -> list[str]:
    """Write a line for each state that jobs leave by a command of `lpad` alone."""
    query = json.dumps({"spec.campaign": campaign})
    return [
        f"{state} jobs go on with: lpad {command} -s {state} -q '{query}'"
        for state, command in RELEASE_COMMANDS.items()
        if state in counts
    ]
