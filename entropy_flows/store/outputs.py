"""What the jobs of a campaign have returned: jobflow's job store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from entropy_flows.store.connection import job_store
from entropy_flows.store.fence import current_launch
from entropy_flows.store.running import is_own

if TYPE_CHECKING:
    from jobflow import JobStore


def stored_output(uuid: str, store: JobStore | None = None) -> dict[str, Any] | None:
    """Return the output of a job that ran before.

    Parameters
    ----------
    uuid
        Of the job.
    store
        The JobStore to look in; None takes the package's own.

    Returns
    -------
    dict or None
        The document with its arrays; None if there is none, or if it is not whole: a crash between
        the document and its arrays leaves a pointer to nothing.
    """
    # a workflow manager may hand a job a store of its own, and the output to the package's later
    if store is not None and not is_own(store) and current_launch() is None:
        return _output(store, uuid)
    store = job_store()
    store.connect()
    try:
        return _output(store, uuid)
    finally:
        store.close()


def _output(store: JobStore, uuid: str) -> dict[str, Any] | None:
    try:
        row = store.query_one({"uuid": uuid}, load=True)
    except KeyError:  # what jobflow says of a pointer to nothing
        return None
    return None if row is None else row.get("output")
