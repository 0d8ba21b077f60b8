"""Jobs of jobflow-remote that wait although all before them has ended.

The runner makes them READY when the last of their parents has ended. One that died in between, or
a job that was paused then, is left waiting.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from entropy_flows.store.remote_stores import JOBS

if TYPE_CHECKING:
    from pymongo.database import Database

FIELDS = {"uuid": 1, "db_id": 1, "parents": 1, "updated_on": 1, "job.name": 1}


def waiting_for_nothing(database: Database, campaign: str) -> list[dict[str, Any]]:
    """Return the documents of a campaign's jobs that wait for parents which have all ended."""
    query = {"job.metadata.campaign": campaign, "state": "WAITING"}
    waiting = list(database[JOBS].find(query, FIELDS))
    parents = {parent for job in waiting for parent in job["parents"] or ()}
    unfinished = {"uuid": {"$in": sorted(parents)}, "state": {"$ne": "COMPLETED"}}
    open_parents = set(database[JOBS].distinct("uuid", unfinished))
    return [job for job in waiting if not open_parents.intersection(job["parents"] or ())]


def make_ready(database: Database, jobs: Iterable[dict[str, Any]]) -> None:
    """Make jobs READY that wait, unless the runner has done so meanwhile."""
    ready = {"$set": {"state": "READY", "updated_on": datetime.now(UTC)}}
    for job in jobs:
        database[JOBS].update_one({"db_id": job["db_id"], "state": "WAITING"}, ready)
