"""A lease: the right of one process to do something alone, as long as it gives signs of life.

The server's clock alone decides when it has run out. Its holder prolongs it from a thread. A holder
that was stopped and wakes up after its time holds it no more: it cannot prolong it, and the server
refuses what it writes. One that is seen to have ended, because it was a process of this machine, is
not waited for.
"""

from __future__ import annotations

import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

from pymongo.database import Database
from pymongo.errors import DuplicateKeyError, PyMongoError

from entropy_flows.processes import has_ended, process_name
from entropy_flows.store.fence import NOW, Document, Fence, check_launch, literal

LEASES = "leases"
LEASE_SECONDS = 60.0
"""After its last sign of life a holder is taken for dead."""
POLL_SECONDS = 0.1


class LeaseLostError(RuntimeError):
    """A lease has run out before its holder was done."""


class LeaseTakenError(RuntimeError):
    """Another process holds a lease.

    Attributes
    ----------
    holder
        The lease's document: `host`, `process`, `since` and whatever else the holder has said of
        itself.
    """

    def __init__(self, holder: dict[str, Any]):
        super().__init__(
            f"{holder['_id']} is held by {holder.get('process')} on {holder.get('host')}"
        )
        self.holder = holder


@contextmanager
def lease(
    database: Database,
    name: str,
    *,
    patience: float | None = None,
    regain: bool = False,
    **about: Any,
) -> Iterator[Fence]:
    """Hold a lease for the length of the block.

    Parameters
    ----------
    database
        Connected database.
    name
        What is done alone.
    patience
        Seconds to wait for another holder; None: until its lease has run out.
    regain
        Take it up again after its time, if nobody else has taken it meanwhile.
    **about
        What others are told of the holder.

    Yields
    ------
    Fence
        Holds while the lease does.

    Raises
    ------
    LeaseTakenError
        If another process still holds it.
    LaunchLostError
        If the running job is not this launch's any more.
    """
    ours = {"_id": name, "holder": uuid.uuid4().hex}
    _await(database, ours, about, patience)
    query = ours if regain else {**ours, "$expr": {"$gt": ["$until", NOW]}}
    ended = threading.Event()
    thread = threading.Thread(
        target=_prolong, args=(database, query, ended), name=f"lease {name}", daemon=True
    )
    thread.start()
    try:
        yield Fence(LEASES, query, LeaseLostError, f"the lease of {name} has run out")
    finally:
        ended.set()
        thread.join()
        database[LEASES].delete_one(ours)


def _await(database: Database, ours: Document, about: Document, patience: float | None) -> None:
    """Wait until the lease is ours."""
    about = {
        "process": process_name(),
        "host": socket.gethostname(),
        **about,
        "since": datetime.now(UTC),
    }
    start = time.monotonic()
    while True:
        holder = _take(database, {**ours, **about})
        if holder is not None and holder["holder"] == ours["holder"]:
            return
        if holder is not None and has_ended(holder.get("process", "")):
            database[LEASES].delete_one({"_id": holder["_id"], "holder": holder["holder"]})
            continue
        if holder is not None and patience is not None and time.monotonic() - start >= patience:
            raise LeaseTakenError(holder)
        time.sleep(POLL_SECONDS)


def _take(database: Database, ours: Document) -> dict[str, Any] | None:
    """Take a lease that nobody holds, and return its document afterwards.

    By an upsert, which finds and writes in one step.
    """
    check_launch(database)
    until = {"until": {"$add": [NOW, round(1000 * LEASE_SECONDS)]}}
    free = {"_id": ours["_id"], "$expr": {"$not": [{"$gt": ["$until", NOW]}]}}
    with suppress(DuplicateKeyError):  # somebody holds it
        database[LEASES].update_one(
            free, [{"$replaceWith": {**literal(ours), **until}}], upsert=True
        )
    return database[LEASES].find_one({"_id": ours["_id"]})


def _prolong(database: Database, query: Document, ended: threading.Event) -> None:
    """Give signs of life until the end, or until the lease is lost."""
    until = {"until": {"$add": [NOW, round(1000 * LEASE_SECONDS)]}}
    while not ended.wait(LEASE_SECONDS / 4):
        with suppress(PyMongoError):  # the database may be away for a moment
            if database[LEASES].update_one(query, [{"$set": until}]).matched_count == 0:
                return
