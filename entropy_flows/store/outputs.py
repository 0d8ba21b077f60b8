"""What the jobs of a campaign have returned: jobflow's job store."""

from __future__ import annotations

from typing import Any

from entropy_flows.store.connection import job_store


def stored_output(uuid: str) -> dict[str, Any] | None:
    """Return the output of a job that ran before.

    Parameters
    ----------
    uuid
        Identifier of the job.

    Returns
    -------
    dict or None
        The document with its arrays; None if there is none, or if it is not whole: a crash between
        the document and its arrays leaves a pointer to nothing.
    """
    store = job_store()
    store.connect()
    try:
        document = store.query_one({"uuid": uuid}, load=True)
    except KeyError:
        # jobflow's error for a pointer to nothing
        return None
    finally:
        store.close()
    return None if document is None else document.get("output")
