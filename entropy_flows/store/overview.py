"""What campaigns a database has, and how far each is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pymongo.database import Database


@dataclass(frozen=True)
class CampaignOverview:
    """A campaign in a few words.

    Attributes
    ----------
    name
        Name of the campaign.
    document
        Its own document.
    iterations
        Iterations with a model to go on from.
    labels
        Labels that can be trained on.
    entries
        Cells in the ledger.
    last_change
        When something of it was last written, as far as its documents say.
    """

    name: str
    document: dict[str, Any]
    iterations: int
    labels: int
    entries: int
    last_change: datetime


def campaigns_of(database: Database) -> list[CampaignOverview]:
    """Return the campaigns of a database, the one that was changed last first."""
    labels = _counts(database, "labels", {"converged": True})
    entries = _counts(database, "structures", {})
    evaluated = {"evaluate.continues": {"$type": "object"}}
    iterations = _counts(database, "iterations", evaluated)
    times = _last(database)
    overviews = []
    for document in database["campaigns"].find():
        name = document["name"]
        written = [document.get(field) for field in ("created", "updated", "submitted")]
        last = max(time for time in [*written, times.get(name)] if time is not None)
        overviews.append(
            CampaignOverview(
                name=name,
                document=document,
                iterations=iterations.get(name, 0),
                labels=labels.get(name, 0),
                entries=entries.get(name, 0),
                last_change=last,
            )
        )
    return sorted(overviews, key=lambda overview: overview.last_change, reverse=True)


def _counts(database: Database, collection: str, query: dict[str, Any]) -> dict[str, int]:
    """Return name of a campaign → number of its documents that match."""
    stages: list[dict[str, Any]] = [
        {"$match": query},
        {"$group": {"_id": "$campaign", "count": {"$sum": 1}}},
    ]
    return {row["_id"]: row["count"] for row in database[collection].aggregate(stages)}


def _last(database: Database) -> dict[str, datetime]:
    """Return name of a campaign → when one of its iterations was last written."""
    stages: list[dict[str, Any]] = [{"$group": {"_id": "$campaign", "time": {"$max": "$updated"}}}]
    return {row["_id"]: row["time"] for row in database["iterations"].aggregate(stages)}
