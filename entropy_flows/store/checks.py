"""Physics checks: one row for each campaign, model, check, phase and its hash, so that a killed run goes on."""

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
        self.database, self.name = database, name

    def save(self, model: str, check: str, phase: str, check_hash: str, **fields: Any) -> None:
        """Keep a check's result, or the reason why there is none; the first one written stays.

        Parameters
        ----------
        model
            Reference of the model, or of the label engine.
        check, phase
            What was checked.
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
        """Rows with these fields, the oldest first."""
        return list(
            self.database["checks"]
            .find({"campaign": self.name, **query})
            .sort("created", ASCENDING)
        )

    def delete_failed(self, model: str) -> int:
        """Delete the rows of a model that have no result, so that they are tried again; how many there were."""
        query = {"campaign": self.name, "model": model, "result": None}
        return self.database["checks"].delete_many(query).deleted_count
