"""A campaign's replay cells: a document for each way in which they are made.

All cells are in one document, so they are there as a whole or not at all.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from entropy_flows.store.collections import CampaignCollections
from entropy_flows.store.seals import insert_once


class Replays(CampaignCollections):
    """The replay cells of one campaign, labelled by its first model."""

    def save_replay(self, replay_hash: str, **fields: Any) -> dict[str, Any]:
        """Store replay cells; the first ones written stay.

        Returns
        -------
        dict
            The document that is there now.
        """
        key = {"campaign": self.name, "replay_hash": replay_hash}
        insert_once(self.database["replays"], key, {**fields, "created": datetime.now(UTC)})
        document = self.replay(replay_hash)
        assert document is not None, "it was there or has just been written"
        return document

    def replay(self, replay_hash: str) -> dict[str, Any] | None:
        """Return the document of replay cells that were made in this way."""
        return self.database["replays"].find_one(
            {"campaign": self.name, "replay_hash": replay_hash}
        )
