"""Entries of a campaign's ledger by what people type: a key, its beginning, or a position."""

from __future__ import annotations

import re
from typing import Any

from pymongo import ASCENDING

from entropy_flows.schemas.stages import Stage
from entropy_flows.spelling import close_names
from entropy_flows.store.collections import CampaignCollections
from entropy_flows.store.connection import StoreError
from entropy_flows.store.labels import CONDITION

MAX_LISTED = 5
"""Keys that an error names."""


class Entries(CampaignCollections):
    """The entries of one campaign's ledger."""

    def find_entry(self, name: str) -> dict[str, Any]:
        """Return the entry that somebody means.

        Parameters
        ----------
        name
            Its key; or the beginning of it, if no other key begins so; or its position, which is
            written without leading zeros.

        Raises
        ------
        StoreError
            If there is none, or a beginning is that of several keys. The message names some.
        """
        structures = self.database["structures"]
        entry = structures.find_one({"campaign": self.name, "key": name})
        if entry is None and re.fullmatch(r"0|[1-9]\d{0,17}", name):
            entry = structures.find_one({"campaign": self.name, "position": int(name)})
        if entry is not None:
            return entry
        beginning = {"campaign": self.name, "key": {"$regex": f"^{re.escape(name)}"}}
        rows = list(structures.find(beginning, {"key": 1}).sort("key", ASCENDING)) if name else []
        if len(rows) == 1:
            return self.find_entry(rows[0]["key"])
        if rows:
            listed = ", ".join(row["key"] for row in rows[:MAX_LISTED])
            more = f" and {len(rows) - MAX_LISTED} more" if len(rows) > MAX_LISTED else ""
            raise StoreError(
                f"{len(rows)} keys of campaign {self.name!r} begin with {name!r}: {listed}{more}"
            )
        raise self._unknown(name)

    def accepted_origins(self) -> list[dict[str, Any]]:
        """Return phase, temperature, k and pressure of all that selection and refinement took."""
        query = {"campaign": self.name, "stage": {"$in": [Stage.SELECT.value, Stage.REFINE.value]}}
        fields = {f"origin.{name}": 1 for name in CONDITION}
        return [row.get("origin", {}) for row in self.database["structures"].find(query, fields)]

    def failed_conditions(self) -> list[dict[str, Any]]:
        """Return phase, temperature, k and pressure of all cells whose label failed."""
        query = {"campaign": self.name, "converged": False}
        rows = self.database["labels"].find(query, {"condition": 1})
        return [row.get("condition", {}) for row in rows]

    def labels_like(self, content: str) -> list[dict[str, Any]]:
        """Return the labels of cells with this hash, of any campaign, the oldest first.

        They have `campaign`, `key`, `engine_hash`, `split` and `converged`.
        """
        fields = ("campaign", "key", "engine_hash", "split", "converged", "created")
        rows = self.database["labels"].find({"content": content}, dict.fromkeys(fields, 1))
        return list(rows.sort("created", ASCENDING))

    def _unknown(self, name: str) -> StoreError:
        """Build the error that the ledger has no such entry."""
        keys = self.database["structures"].distinct("key", {"campaign": self.name})
        if not keys:
            return StoreError(f"the ledger of campaign {self.name!r} is empty")
        return StoreError(
            f"the ledger of campaign {self.name!r} has no entry {name!r}{close_names(name, keys)}; "
            f"expected a key, its beginning, or a position from 0 to {len(keys) - 1}"
        )
