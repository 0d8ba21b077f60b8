"""What models predict for cells with a label: a document for each evaluation.

All cells are in one document, so they are there as a whole or not at all. An evaluation that was
killed writes it again.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from entropy_flows.store.collections import CampaignCollections
from entropy_flows.store.seals import replace


class Predictions(CampaignCollections):
    """The predictions of one campaign's models for its cells."""

    def save_predictions(self, iteration: int, version: int, **fields: Any) -> None:
        """Store what the models of an evaluation predict, in place of what was there.

        Parameters
        ----------
        iteration
            Number of the iteration.
        version
            1 for the iteration's model; from 2 for one that was trained again.
        **fields
            Fields of `PredictionDocument`.
        """
        key = {"campaign": self.name, "iteration": iteration, "version": version}
        body = {**fields, "created": datetime.now(UTC)}
        replace(self.database["predictions"], key, body)

    def predictions(self, iteration: int | None = None) -> dict[str, Any] | None:
        """Return the last predictions of an iteration, or of the campaign; None without any."""
        query: dict[str, Any] = {"campaign": self.name}
        if iteration is not None:
            query["iteration"] = iteration
        last_first = [("iteration", -1), ("version", -1)]
        return self.database["predictions"].find_one(query, sort=last_first)
