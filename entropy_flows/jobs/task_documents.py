"""The task documents of label runs, in the JobStore beside the outputs of the label jobs."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from jobflow import CURRENT_JOB, JobStore
from monty.json import jsanitize

from entropy_flows.jobs.context import IterationContext
from entropy_flows.store import job_store
from entropy_flows.store.entry import NAMESPACE
from entropy_flows.store.fence import current_launch
from entropy_flows.store.running import is_own

LARGE_FIELDS: list[Any] = ["calcs_reversed", "vasp_objects", "trajectory"]
"""Fields that go to the JobStore's `data` store, if it has one."""


def task_uuid(structure_id: str, engine_hash: str) -> str:
    """Return the uuid of a structure's task document: the same whoever stores it."""
    return str(uuid.uuid5(NAMESPACE, f"task/{structure_id}/{engine_hash}"))


def store_task_document(context: IterationContext, entry: dict[str, Any], document: Any) -> None:
    """Store what the engine's job returned, under a uuid of its own.

    The metadata name the campaign and the structure. Outside of a job there is no JobStore, and
    nothing is stored.

    Parameters
    ----------
    context
        Constants of the iteration.
    entry
        Ledger entry that was labelled.
    document
        Task document, such as atomate2's.
    """
    given: JobStore | None = CURRENT_JOB.store
    if given is None:
        return
    # a workflow manager may hand a job a store that takes one document, its output
    store = given if is_own(given) or current_launch() is None else job_store()
    row = {
        "uuid": task_uuid(entry["_id"], context.engine_hash),
        "index": 1,
        "name": f"task of {entry['key']}",
        "output": jsanitize(document, strict=True, enum_values=True, allow_bson=True),
        "completed_at": datetime.now().isoformat(),
        "metadata": {
            "campaign": context.campaign,
            "structure_id": entry["_id"],
            "engine_hash": context.engine_hash,
        },
        "hosts": [],
    }
    has_data: bool = "data" in store.additional_stores  # type: ignore[has-type]
    save: Any = {"data": LARGE_FIELDS} if has_data else None
    if store is given:
        store.update(row, key=["uuid", "index"], save=save)
        return
    with store:
        store.update(row, key=["uuid", "index"], save=save)
