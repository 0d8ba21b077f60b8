"""Entries and labels without their arrays, for pages that show all of a campaign at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pymongo import ASCENDING

from entropy_flows.store.collections import CampaignCollections

QUERY_BATCH = 256
"""Documents that one query asks for by their keys."""
ENTRY_FIELDS = (
    "key",
    "position",
    "iteration",
    "stage",
    "n_atoms",
    "formula",
    "volume_per_atom",
    "gain",
    "variance_gain",
    "origin",
)
LABEL_FIELDS = (
    "key",
    "stage",
    "condition",
    "converged",
    "foreign",
    "reason",
    "energy",
    "pressure",
    "split",
    "flagged",
)


class MapRows(CampaignCollections):
    """Reads what a map of one campaign's cells shows."""

    def entry_rows(self) -> list[dict[str, Any]]:
        """Return the entries of the ledger in their order, without structures and seals."""
        return self._rows("structures", ENTRY_FIELDS)

    def label_rows(self, forces: bool = False) -> list[dict[str, Any]]:
        """Return the labels in the ledger's order, with forces if asked for, and no provenance."""
        return self._rows("labels", (*LABEL_FIELDS, *(["forces"] if forces else [])))

    def label_engines(self) -> list[str]:
        """Return the names of the engines that made labels."""
        return self.database["labels"].distinct("provenance.engine", {"campaign": self.name})

    def sizes(self) -> tuple[int, ...]:
        """Return how many entries, labels, exclusions and predictions there are.

        While these are as they were, so is the map.
        """
        mine = {"campaign": self.name}
        names = ("structures", "labels", "exclusions", "predictions")
        counts = [self.database[name].count_documents(mine) for name in names]
        split = self.database["labels"].count_documents({**mine, "split": {"$ne": None}})
        return (*counts, split)

    def entries_of(self, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return key → entry of the ledger with its structure, of those that exist."""
        return self._of_keys("structures", keys)

    def label_of(self, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return key → label, the campaign's own engine's where there are several."""
        return self._of_keys("labels", keys)

    def _of_keys(self, collection: str, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        rows: dict[str, dict[str, Any]] = {}
        for start in range(0, len(keys), QUERY_BATCH):
            query = {"campaign": self.name, "key": {"$in": list(keys[start : start + QUERY_BATCH])}}
            for row in self.database[collection].find(query, {"seals": False}):
                earlier = rows.setdefault(row["key"], row)
                if earlier.get("foreign") and not row.get("foreign"):
                    rows[row["key"]] = row
        return rows

    def _rows(self, collection: str, fields: tuple[str, ...]) -> list[dict[str, Any]]:
        projection = dict.fromkeys(fields, True)
        rows = self.database[collection].find({"campaign": self.name}, projection)
        return list(rows.sort("position", ASCENDING))
