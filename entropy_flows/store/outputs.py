"""What the jobs of a campaign have returned: jobflow's job store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from entropy_flows.store.connection import job_store
from entropy_flows.store.fence import current_launch
from entropy_flows.store.running import is_own

if TYPE_CHECKING:
    from jobflow import JobStore


STAGE_BLOBS = ("trajectories", "documents")
"""Fields of a stage's output whose content is a blob."""
TASK_BLOBS = ("calcs_reversed", "vasp_objects", "trajectory", "objects.trajectory")
"""Fields of a label's task document whose content may be one."""


def blob_key(field: str) -> str:
    """Return the key that names the blob of an output's field, in the collection of outputs."""
    return f"output.{field}.blob_uuid"


def blobs_of(row: dict[str, Any], fields: Sequence[str]) -> dict[str, str]:
    """Return field → name of its blob, of those fields of a stored output that have one."""
    blobs: dict[str, str] = {}
    for field in fields:
        content: Any = row
        for name in blob_key(field).split("."):
            content = content.get(name) if isinstance(content, dict) else None
        if content is not None:
            blobs[field] = content
    return blobs


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
        return output_in(store, uuid)
    store = job_store()
    store.connect()
    try:
        return output_in(store, uuid)
    finally:
        store.close()


def output_in(store: JobStore, uuid: str) -> dict[str, Any] | None:
    """Return the output that a JobStore has of a job; None if it has none, or not all its parts."""
    try:
        row = store.query_one({"uuid": uuid}, load=True)
    except KeyError:  # what jobflow says of a pointer to nothing
        return None
    return None if row is None else row.get("output")
