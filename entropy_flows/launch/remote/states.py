"""jobflow-remote's states of a job, in the words of `launch.job_states`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

STATES = {
    "CHECKED_OUT": "QUEUED",
    "UPLOADED": "QUEUED",
    "SUBMITTED": "QUEUED",
    "BATCH_SUBMITTED": "QUEUED",
    "BATCH_RUNNING": "RUNNING",
    "RUN_FINISHED": "RUNNING",
    "DOWNLOADED": "RUNNING",
    "REMOTE_ERROR": "FAILED",
    "STOPPED": "CANCELLED",
    "USER_STOPPED": "CANCELLED",
}
"""jobflow-remote's word for a state → that of `job_states`; the others are the same."""
TAKEN = (
    *("CHECKED_OUT", "UPLOADED", "SUBMITTED", "RUNNING", "RUN_FINISHED", "DOWNLOADED"),
    *("BATCH_SUBMITTED", "BATCH_RUNNING"),
)
"""States of jobs that a runner or a worker has."""
FAILED = ("FAILED", "REMOTE_ERROR")
"""States of jobs whose machine has failed."""
STATE_FIELDS = {
    "uuid": 1,
    "index": 1,
    "db_id": 1,
    "state": 1,
    "stored_data": 1,
    "job.name": 1,
    "job.metadata": 1,
}
"""Fields of a job's document that its name and state follow from."""


def state_of(document: Mapping[str, Any]) -> str:
    """Return the state of a job, from its document.

    The runner learns late that a job's process has begun, and a job whose cells are to be approved
    is PAUSED until they are.
    """
    state = document["state"]
    if state == "SUBMITTED" and (document.get("stored_data") or {}).get("launch"):
        return "RUNNING"
    if state == "PAUSED" and document["job"]["metadata"].get("awaits_approval"):
        return "WAITING"
    return STATES.get(state, state)
