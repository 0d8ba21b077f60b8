"""What the jobs of a campaign have returned: jobflow's job store."""

from __future__ import annotations

from typing import Any

from entropy_flows.store.connection import job_store


def stored_output(uuid: str) -> dict[str, Any] | None:
    """What a job returned when it ran before.

    Parameters
    ----------
    uuid
        Of the job.

    Returns
    -------
    dict or None
        The document with its arrays; None if there is none, or if it is not whole: a crash between
        the document and its arrays leaves a pointer to nothing.
    """
    store = job_store()
    store.connect()
    try:
        found = store.query_one({"uuid": uuid}, load=True)
    except KeyError:  # what jobflow says of a pointer to nothing
        return None
    finally:
        store.close()
    return None if found is None else found.get("output")
