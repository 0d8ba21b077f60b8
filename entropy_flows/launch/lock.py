"""Hold a workflow's lock, as FireWorks does, or take it over from a holder that died.

FireWorks marks a workflow `locked` while it reads and writes its jobs, for milliseconds to seconds,
and names no owner. A holder is dead when the workflow is locked at every poll for a while, and
nobody has written it meanwhile.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fireworks import LaunchPad


POLL_SECONDS = 0.05
SECONDS_PER_JOB = 0.01
"""Time that a living holder may take longer for each job of the workflow."""
BUSY_SECONDS = 120
"""Time after which a workflow that living workers keep locked is left to them."""
NOT_LOCKED = {"$exists": False}


class BusyError(RuntimeError):
    """A workflow is locked by one living worker after another."""


@contextmanager
def hold_lock(pad: LaunchPad, workflow_id: Any, patience: float) -> Iterator[bool]:
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
        True if the lock was a dead holder's.

    Raises
    ------
    BusyError
        If the lock was not to be had.
    """
    owner = f"repair {uuid.uuid4().hex}"
    before = await_free_lock(pad, workflow_id, patience)
    while not _take_lock(pad, before, owner):
        before = await_free_lock(pad, workflow_id, patience)
    try:
        yield "locked" in before
    finally:
        # FireWorks writes True in place of the owner whenever it saves the workflow
        held = {"_id": workflow_id, "locked": {"$in": [owner, True]}}
        pad.workflows.update_one(held, {"$unset": {"locked": ""}})


def await_free_lock(pad: LaunchPad, workflow_id: Any, patience: float) -> dict[str, Any]:
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
    key = {"_id": workflow_id}
    nodes = (pad.workflows.find_one(key, {"nodes": 1}) or {"nodes": []})["nodes"]
    limit = patience + SECONDS_PER_JOB * len(nodes)
    start = time.monotonic()
    last_change = start
    last_seen: dict[str, Any] = {}
    while True:
        seen = pad.workflows.find_one(key, {"locked": 1, "updated_on": 1})
        if seen is None:
            break
        now = time.monotonic()
        if seen != last_seen:
            last_seen = seen
            last_change = now
        if "locked" not in seen or now - last_change >= limit:
            return seen
        if now - start > limit + BUSY_SECONDS:
            break
        time.sleep(POLL_SECONDS)
    waited = time.monotonic() - start
    raise BusyError(f"workflow {workflow_id} could not be locked in {waited:.0f} s")


def _take_lock(pad: LaunchPad, before: dict[str, Any], owner: str) -> bool:
    """Lock a workflow if it is still as it was seen; return True if it is."""
    expected = {"locked": NOT_LOCKED, **before}
    result = pad.workflows.update_one(expected, {"$set": {"locked": owner}})
    return result.modified_count == 1
