"""A lease: the right of one process, on any machine, to do something alone, for as long as it gives signs of life.

The server's clock alone decides when it has run out. Its holder prolongs it from a thread. A holder that was stopped
and wakes up after its time holds it no more: it cannot prolong it, and the server refuses what it writes.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from pymongo.database import Database
from pymongo.errors import PyMongoError

from entropy_flows.store.fence import NOW, Document, Fence, merge

LEASES = "leases"
LEASE_SECONDS = 60.0
"""After its last sign of life a holder is taken for dead."""
POLL_SECONDS = 0.1


class LeaseLostError(RuntimeError):
    """A lease has run out before its holder was done."""


@contextmanager
def lease(database: Database, name: str) -> Iterator[Fence]:
    """Hold a lease for the length of the block; whoever else holds it is waited for.

    Parameters
    ----------
    database
        Connected database.
    name
        What is done alone.

    Yields
    ------
    Fence
        Holds while the lease does.

    Raises
    ------
    LaunchLostError
        If the running job is not this launch's any more.
    """
    holder = uuid.uuid4().hex
    ours = {"_id": name, "holder": holder}
    while not _take(database, ours):
        time.sleep(POLL_SECONDS)
    ended = threading.Event()
    thread = threading.Thread(target=_prolong, args=(database, ours, ended), name=f"lease {name}", daemon=True)
    thread.start()
    try:
        yield Fence(LEASES, _live(ours), LeaseLostError, f"the lease of {name} has run out")
    finally:
        ended.set()
        thread.join()
        database[LEASES].delete_one(ours)


def _take(database: Database, ours: Document) -> bool:
    """Take a lease that nobody holds; whether it was taken."""
    milliseconds = round(1000 * LEASE_SECONDS)
    is_held = {"$gt": ["$until", {"$subtract": ["$$new.until", milliseconds]}]}
    taken = {name: {"$cond": [is_held, f"${name}", f"$$new.{name}"]} for name in ("holder", "until")}
    until = {"until": {"$add": [NOW, milliseconds]}}
    merge(database[LEASES], [ours], matched=[{"$set": taken}], computed=until)
    return database[LEASES].find_one(ours) is not None


def _prolong(database: Database, ours: Document, ended: threading.Event) -> None:
    """Give signs of life until the end, or until the lease has run out."""
    until = {"until": {"$add": [NOW, round(1000 * LEASE_SECONDS)]}}
    while not ended.wait(LEASE_SECONDS / 4):
        with suppress(PyMongoError):  # the database may be away for a moment
            if database[LEASES].update_one(_live(ours), [{"$set": until}]).matched_count == 0:
                return


def _live(ours: Document) -> Document:
    """Query for a lease of ours that has not run out."""
    return {**ours, "$expr": {"$gt": ["$until", NOW]}}
