"""Chosen cells that wait until somebody approves that they are labelled, or rejects them.

A row is written with the job that waits for it. The first decision about a cell stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from pymongo import ASCENDING

from entropy_flows.processes import author
from entropy_flows.spelling import close_names
from entropy_flows.store.collections import CampaignCollections
from entropy_flows.store.connection import StoreError
from entropy_flows.store.seals import insert_each_once, set_each

UNDECIDED: dict[str, Any] = {"approved": {"$exists": False}}
MAX_UNKNOWN = 5
"""Keys that an error names."""


class Approvals(CampaignCollections):
    """The cells of one campaign that wait, or waited, for an approval."""

    def await_approval(self, entries: Iterable[dict[str, Any]], job_uuid: str) -> None:
        """Have ledger entries wait for an approval, and a job for all of them."""
        rows = [
            {
                "campaign": self.name,
                "key": entry["key"],
                "structure_id": entry["_id"],
                "position": entry["position"],
                "iteration": entry["iteration"],
                "job_uuid": job_uuid,
                "created": datetime.now(UTC),
            }
            for entry in entries
        ]
        insert_each_once(self.database["approvals"], ("campaign", "key"), rows)

    def approvals(self, **query: Any) -> list[dict[str, Any]]:
        """Return the rows with these fields, in ledger order."""
        rows = self.database["approvals"].find({"campaign": self.name, **query})
        return list(rows.sort("position", ASCENDING))

    def waiting(self) -> list[dict[str, Any]]:
        """Return the rows of the cells that nobody has decided about."""
        return self.approvals(**UNDECIDED)

    def awaits_approval(self, job_uuid: str) -> bool:
        """Tell whether a job waits for a decision about any cell."""
        query = {"campaign": self.name, "job_uuid": job_uuid, **UNDECIDED}
        return self.database["approvals"].find_one(query, {"_id": 1}) is not None

    def approve(self, keys: Sequence[str]) -> list[str]:
        """Approve that cells are labelled; return the keys of those that were undecided.

        Raises
        ------
        StoreError
            If a cell does not wait for an approval; the message names keys that are near.
        """
        return self._decide(keys, approved=True, why="")

    def reject(self, keys: Sequence[str], why: str) -> list[str]:
        """Reject cells, which will not be labelled; return the keys of those undecided before."""
        return self._decide(keys, approved=False, why=why)

    def _decide(self, keys: Sequence[str], approved: bool, why: str) -> list[str]:
        """Decide about cells; what was decided stays."""
        rows = {row["key"]: row for row in self.approvals()}
        unknown = [key for key in dict.fromkeys(keys) if key not in rows]
        if unknown:
            lines = [f"{key!r}{close_names(key, rows)}" for key in unknown[:MAX_UNKNOWN]]
            more = f" and {len(unknown) - MAX_UNKNOWN} more" if len(unknown) > MAX_UNKNOWN else ""
            raise StoreError(
                f"campaign {self.name!r} has no cell that waits for an approval: "
                f"{', '.join(lines)}{more}"
            )
        decided = [key for key in dict.fromkeys(keys) if "approved" not in rows[key]]
        decision = {
            "approved": approved,
            "why": why,
            "by": author(),
            "decided": datetime.now(UTC),
        }
        updates = [(rows[key], decision) for key in decided]
        set_each(self.database["approvals"], updates, first_stays=True)
        return decided
