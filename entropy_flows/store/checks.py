"""Physics checks: a row for each campaign, model, check, phase and hash, so that a run goes on."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pymongo import ASCENDING
from pymongo.database import Database

from entropy_flows.store.seals import insert_once


class PhysicsChecks:
    """The checks of one campaign.

    Parameters
    ----------
    database
        Connected database.
    name
        Name of the campaign.
    """

    def __init__(self, database: Database, name: str):
        self.database = database
        self.name = name

    def save(self, model: str, check: str, phase: str, check_hash: str, **fields: Any) -> None:
        """Store a check's result, or the reason why there is none; the first one written stays.

        Parameters
        ----------
        model
            Reference of the model, or of the label engine.
        check, phase
            Names of the check and of the phase.
        check_hash
            Hash of all that decides the result beside the model.
        **fields
            `result`, `reason`, `seconds`, …
        """
        key = {
            "campaign": self.name,
            "model": model,
            "check": check,
            "phase": phase,
            "check_hash": check_hash,
        }
        insert_once(self.database["checks"], key, {**fields, "created": datetime.now(UTC)})

    def find(self, **query: Any) -> list[dict[str, Any]]:
        """Return the rows with these fields, the oldest first."""
        rows = self.database["checks"].find({"campaign": self.name, **query})
        return list(rows.sort("created", ASCENDING))

    def delete_failed(self, model: str) -> int:
        """Delete the rows of a model without a result, so that they are tried again.

        Returns
        -------
        int
            How many there were.
        """
        query = {"campaign": self.name, "model": model, "result": None}
        return self.database["checks"].delete_many(query).deleted_count
