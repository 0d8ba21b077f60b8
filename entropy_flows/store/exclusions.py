"""Cells that somebody has excluded from a campaign's data set, or included again.

The ledger keeps every entry. What is said of one is a row here, numbered from 0, never a deletion:

    E(v)             = entries that the first v rows leave excluded
    statistics(n, v) = fold of `add` over the fingerprints at positions 0 … n − 1 that are not in
                       E(v)

Two numbers v are decided once for each iteration, by the first job that asks:

    plan.exclusions             counts for its statistics: the gains of its candidates
    plan.training_exclusions    counts for its training and evaluation

So an exclusion counts for the next training, and for the statistics from the next iteration on.
What was decided before stays what it was, and can be computed again from the rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pymongo import ASCENDING

from entropy_flows.processes import author
from entropy_flows.spelling import close_names
from entropy_flows.store.connection import StoreError
from entropy_flows.store.fence import merge
from entropy_flows.store.iterations import Iterations
from entropy_flows.store.lease import lease
from entropy_flows.store.seals import sealed

STATISTICS = "exclusions"
TRAINING = "training_exclusions"
QUERY_BATCH = 100
"""Keys that one query names: the embedded server's time for it is quadratic."""
MAX_UNKNOWN = 5
"""Unknown keys that an error names."""


class Exclusions(Iterations):
    """The rows of one campaign, and the decisions which of them count for each iteration."""

    def exclusions(self) -> list[dict[str, Any]]:
        """Return all rows in their order."""
        rows = self.database["exclusions"].find({"campaign": self.name})
        return list(rows.sort("number", ASCENDING))

    def excluded(self, count: int | None = None) -> dict[str, dict[str, Any]]:
        """Return key → row, of the entries that the first rows leave excluded; None is all."""
        return last_rows(self.exclusions()[:count])

    def statistics_exclusions(self, iteration: int) -> int:
        """Decide how many rows count for an iteration's statistics; the first answer stays."""
        return self._decided(iteration, STATISTICS)

    def training_exclusions(self, iteration: int) -> int:
        """Decide how many rows count for an iteration's training; the first answer stays."""
        return self._decided(iteration, TRAINING)

    def exclude(self, keys: Sequence[str], why: str) -> list[str]:
        """Exclude entries from the data set; those that are excluded already stay as they are.

        Returns
        -------
        list of str
            Keys of the entries that were excluded now.

        Raises
        ------
        StoreError
            If the ledger has no entry of a key; the message names keys that are near.
        """
        return self._say(keys, True, why)

    def include(self, keys: Sequence[str], why: str) -> list[str]:
        """Include entries again that were excluded; return the keys of those that were."""
        return self._say(keys, False, why)

    def first_iteration_without(self, name: str) -> int:
        """Return the first iteration that has not decided yet which exclusions count for it."""
        query = {"campaign": self.name, f"plan.{name}": {"$exists": True}}
        last = self.database["iterations"].find_one(query, sort=[("iteration", -1)])
        return 1 if last is None else max(1, last["iteration"] + 1)

    def _decided(self, iteration: int, name: str) -> int:
        key = {"campaign": self.name, "iteration": iteration}
        document = self.database["iterations"].find_one(key, {f"plan.{name}": 1}) or {}
        decided = document.get("plan", {}).get(name)
        if decided is None:
            count = self.database["exclusions"].count_documents({"campaign": self.name})
            decided = self.plan(iteration, name, count)
        return int(decided)

    def _say(self, keys: Sequence[str], excluded: bool, why: str) -> list[str]:
        """Add a row for each entry that is not in this state yet."""
        entries = self._entries_of(keys)
        # with the ledger's lease: rows of two commands would get the same numbers
        with lease(self.database, f"ledger/{self.name}") as held:
            rows = self.exclusions()
            present = last_rows(rows)
            changed = [key for key in dict.fromkeys(keys) if (key in present) != excluded]
            new = [
                {
                    "campaign": self.name,
                    "number": number,
                    "key": key,
                    "structure_id": entries[key]["_id"],
                    "position": entries[key]["position"],
                    "excluded": excluded,
                    "why": why,
                    "by": author(),
                    "created": datetime.now(UTC),
                }
                for number, key in enumerate(changed, len(rows))
            ]
            documents = [sealed("exclusions", row) for row in new]
            merge(self.database["exclusions"], documents, on=("campaign", "number"), lease=held)
        return changed

    def _entries_of(self, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return the ledger's entries of these keys."""
        structures = self.database["structures"]
        entries: dict[str, dict[str, Any]] = {}
        for start in range(0, len(keys), QUERY_BATCH):
            query = {"campaign": self.name, "key": {"$in": keys[start : start + QUERY_BATCH]}}
            rows = structures.find(query, {"key": 1, "position": 1})
            entries |= {row["key"]: row for row in rows}
        unknown = [key for key in dict.fromkeys(keys) if key not in entries]
        if unknown:
            all_keys = structures.distinct("key", {"campaign": self.name})
            lines = [f"{key!r}{close_names(key, all_keys)}" for key in unknown[:MAX_UNKNOWN]]
            more = f" and {len(unknown) - MAX_UNKNOWN} more" if len(unknown) > MAX_UNKNOWN else ""
            raise StoreError(
                f"the ledger of campaign {self.name!r} has no entry {', '.join(lines)}{more}"
            )
        return entries


def last_rows(rows: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return key → row, of the entries that rows in their order leave excluded."""
    excluded: dict[str, dict[str, Any]] = {}
    for row in rows:
        excluded.pop(row["key"], None)
        if row["excluded"]:
            excluded[row["key"]] = dict(row)
    return excluded


def positions(rows: Iterable[Mapping[str, Any]]) -> frozenset[int]:
    """Return the ledger's positions of the entries that rows in their order leave excluded."""
    return frozenset(row["position"] for row in last_rows(rows).values())
