"""A workflow's lock, as FireWorks takes it, and what is left of it when its holder died.

FireWorks marks a workflow `locked` while it reads and writes its jobs, for milliseconds to seconds,
and knows no owner. A holder is dead when the workflow is locked at every look for a while, and
nobody has written it meanwhile.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fireworks import LaunchPad

LOOK_SECONDS = 0.05
SECONDS_PER_JOB = 0.01
"""What a living holder may take longer per job of the workflow."""
BUSY_SECONDS = 120
FREE = {"$exists": False}


class BusyError(RuntimeError):
    """A workflow is locked by one living worker after another."""


@contextmanager
def held(pad: LaunchPad, workflow_id: Any, patience: float) -> Iterator[bool]:
    """Hold a workflow's lock, a dead holder's if need be.

    Parameters
    ----------
    pad
        The launchpad.
    workflow_id
        `_id` of the workflow.
    patience
        Seconds after which a holder that writes nothing is dead.

    Yields
    ------
    bool
        Whether the lock was a dead holder's.

    Raises
    ------
    BusyError
        If it was not to be had.
    """
    mine = f"repair {uuid.uuid4().hex}"
    seen = wait(pad, workflow_id, patience)
    while not _take(pad, seen, mine):
        seen = wait(pad, workflow_id, patience)
    try:
        yield "locked" in seen
    finally:  # True: FireWorks' own word for it, which it writes whenever it saves the workflow
        pad.workflows.update_one(
            {"_id": workflow_id, "locked": {"$in": [mine, True]}}, {"$unset": {"locked": ""}}
        )


def wait(pad: LaunchPad, workflow_id: Any, patience: float) -> dict[str, Any]:
    """Wait until nobody living holds a workflow's lock; nothing is written.

    Returns
    -------
    dict
        The workflow's `_id`, `updated_on` and, if its holder is dead, `locked`.

    Raises
    ------
    BusyError
        If that does not happen, or the workflow is deleted meanwhile.
    """
    whole = pad.workflows.find_one({"_id": workflow_id}, {"nodes": 1}) or {"nodes": []}
    limit = patience + SECONDS_PER_JOB * len(whole["nodes"])
    start = since = time.monotonic()
    before: dict[str, Any] = {}
    while (
        seen := pad.workflows.find_one({"_id": workflow_id}, {"locked": 1, "updated_on": 1})
    ) is not None:
        now = time.monotonic()
        if seen != before:
            before, since = seen, now
        if "locked" not in seen or now - since >= limit:
            return seen
        if now - start > limit + BUSY_SECONDS:
            break
        time.sleep(LOOK_SECONDS)
    raise BusyError(
        f"workflow {workflow_id} could not be locked in {time.monotonic() - start:.0f} s"
    )


def _take(pad: LaunchPad, seen: dict[str, Any], mine: str) -> bool:
    """Lock a workflow if it is as it was seen."""
    expected = {"locked": FREE, **seen}
    return pad.workflows.update_one(expected, {"$set": {"locked": mine}}).modified_count == 1
