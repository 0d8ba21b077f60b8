"""A campaign's equations of state: one for each model and seed cell, fitted by the first job."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from entropy_flows.store.collections import CampaignCollections
from entropy_flows.store.seals import insert_once


class Equations(CampaignCollections):
    """The equations of state of one campaign's phases."""

    def save_equation(self, model: str, cell_hash: str, **fields: Any) -> dict[str, Any]:
        """Store an equation of state, or why there is none; the first one written stays.

        Returns
        -------
        dict
            The document that is there now.
        """
        key = {"campaign": self.name, "model": model, "cell_hash": cell_hash}
        insert_once(self.database["equations"], key, {**fields, "created": datetime.now(UTC)})
        document = self.equation(model, cell_hash)
        assert document is not None, "it was there or has just been written"
        return document

    def equation(self, model: str, cell_hash: str) -> dict[str, Any] | None:
        """Return the equation of state of a seed cell on a model, by the model's reference."""
        key = {"campaign": self.name, "model": model, "cell_hash": cell_hash}
        return self.database["equations"].find_one(key)
