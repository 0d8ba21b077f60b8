"""The ledger of acceptances, and the covariance as a fold over it.

An entry is a structure with its position. Entries are only ever appended, stage by stage. A stage
that runs twice writes the same entries, so running it again loses nothing and doubles nothing.

    statistics(n, stage) = fold of `add` over the fingerprints of all entries before (n, stage)
                           that are not excluded in iteration n

What is excluded in an iteration is decided once, see `store.exclusions`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from pymongo import ASCENDING
from pymongo.errors import DuplicateKeyError

from entropy_flows.conventions import Array
from entropy_flows.entropy import Mode
from entropy_flows.schemas.stages import IMPORT, LEDGER_STAGES
from entropy_flows.store.connection import StoreError, refuse_too_large
from entropy_flows.store.entry import Entry, stage_rank
from entropy_flows.store.fence import Fence, merge
from entropy_flows.store.ledger_targets import LedgerTargets
from entropy_flows.store.seals import link, sealed

if TYPE_CHECKING:
    from entropy_flows.entropy import SufficientStatistics, VarianceStatistics


class Ledger(LedgerTargets):
    """The ledger of one campaign: positions and entries, read and appended."""

    def position(self, iteration: int, stage: str) -> int:
        """Return the number of entries before a stage, which is the position of its first entry."""
        first = (iteration, stage_rank(stage))
        return self._bisect(lambda entry: (entry["iteration"], entry["rank"]) < first)

    def end(self) -> int:
        """Return the number of entries, which is the position of the next one."""
        return self._bisect(lambda _: True)

    def entries(self, **query: Any) -> Iterable[dict[str, Any]]:
        """Return the entries with these fields, in ledger order."""
        rows = self.structures.find({"campaign": self.campaign, **query})
        return rows.sort("position", ASCENDING)

    def requested(self, first: int, last: int) -> int:
        """Return for how many entries of these iterations a label was requested.

        What was imported has cost none.
        """
        start = self.position(first, LEDGER_STAGES[0])
        end = self.position(last + 1, LEDGER_STAGES[0])
        iterations = {"$gte": first, "$lte": last}
        imports = {"campaign": self.campaign, "stage": IMPORT, "iteration": iterations}
        return end - start - self.structures.count_documents(imports)

    def statistics(self, iteration: int, stage: str) -> dict[Mode, SufficientStatistics]:
        """Return the statistics of everything before a stage, per mode.

        Starts from the last stored covariance at or before that position and replays the entries
        after it. A crash between writing entries and their covariance costs a replay, no more.
        """
        count = self.exclusions.statistics_exclusions(iteration)
        return self.statistics_at(self.position(iteration, stage), count)

    def statistics_after(self, iteration: int) -> dict[Mode, SufficientStatistics]:
        """Return the statistics of everything up to the end of an iteration, per mode."""
        count = self.exclusions.statistics_exclusions(iteration)
        return self.statistics_at(self.position(iteration + 1, LEDGER_STAGES[0]), count)

    def variance(
        self, iteration: int, stage: str, target: int | None = None
    ) -> VarianceStatistics | None:
        """Return what everything before a stage leaves unknown of a target.

        Parameters
        ----------
        iteration, stage
            The stage.
        target
            Iteration of the target; None takes the same. One without a target has that of the last
            iteration before that has one.

        Returns
        -------
        VarianceStatistics or None
            None if there is no target.
        """
        count = self.exclusions.statistics_exclusions(iteration)
        end = self.position(iteration, stage)
        return self.variance_at(end, iteration if target is None else target, count)

    def variance_after(self, iteration: int) -> VarianceStatistics | None:
        """Return what everything up to the end of an iteration leaves unknown of its target."""
        count = self.exclusions.statistics_exclusions(iteration)
        return self.variance_at(self.position(iteration + 1, LEDGER_STAGES[0]), iteration, count)

    def means(self, iteration: int, stage: str) -> Array | None:
        """Return the mean fingerprints (n, dim) of the cells before a stage, or None."""
        end = self.position(iteration, stage)
        excluded = self.excluded(self.exclusions.statistics_exclusions(iteration))
        rows = [
            q.mean(axis=0)
            for position, q in enumerate(self.fingerprints_between(0, end))
            if position not in excluded
        ]
        return np.array(rows) if rows else None

    def append_accepted(self, iteration: int, stage: str, entries: Sequence[Entry]) -> int:
        """Append a stage's entries, their fingerprints and the covariances after them.

        Returns
        -------
        int
            Position after the last entry.

        Raises
        ------
        StoreError
            If another process has written other entries at these positions, this stage was appended
            before with different entries, the database refuses to write them, or the lease ran out
            again and again.
        ValueError
            If an entry is too large for a document; nothing is written then.
        """
        title = f"{stage} of iteration {iteration}"
        return self._lease(title, lambda held: self._append(iteration, stage, entries, held))

    def import_entries(self, iteration: int, entries: Sequence[Entry]) -> int:
        """Append imported cells where the ledger ends.

        A cell whose key is in the ledger is left out: imported twice, it is there once. The
        covariances are left to `checkpoint_statistics`.

        Returns
        -------
        int
            Position after the last entry.

        Raises
        ------
        StoreError
            If cells are new and the ledger has entries of a later iteration, or the lease ran out
            again and again.
        """
        return self._lease("imported cells", lambda held: self._import(iteration, entries, held))

    def checkpoint_statistics(self, iteration: int) -> dict[Mode, SufficientStatistics]:
        """Store the covariances as they stand after an iteration, and return them."""
        return self._lease("covariances", lambda held: self._checkpoint(iteration, held))

    def _bisect(self, is_before: Callable[[dict[str, Any]], bool]) -> int:
        """Return the position of the first entry that is not before something.

        Positions have no gaps and stages follow one another, so 2 log n queries of one entry each
        find it, and nothing has to be counted or sorted.
        """

        def before(position: int) -> bool:
            key = {"campaign": self.campaign, "position": position}
            entry = self.structures.find_one(key, {"iteration": 1, "rank": 1})
            return entry is not None and is_before(entry)

        step = 1
        while before(step - 1):
            step *= 2
        # all positions below `low` are before, `high` is not
        low = step // 2
        high = step - 1
        while low < high:
            middle = (low + high) // 2
            if before(middle):
                low = middle + 1
            else:
                high = middle
        return low

    def _append(self, iteration: int, stage: str, entries: Sequence[Entry], held: Fence) -> int:
        start = self.position(iteration, stage)
        positions = {entry.key: position for position, entry in enumerate(entries, start)}
        written = self._written(iteration, stage, positions)
        if not entries:
            return start
        count = self.exclusions.statistics_exclusions(iteration)
        statistics = self.statistics_at(start, count)
        self._insert(entries, start, iteration, stage, held, written)
        end = start + len(entries)
        # as stored: what an interrupted run of this stage has written stays
        for q in self.fingerprints_between(start, end):
            for stats in statistics.values():
                stats.add(q)
        for mode, stats in statistics.items():
            self._store(mode, end, stats, count, held)
        self._store_variance(iteration, end, count, held)
        return end

    def _import(self, iteration: int, entries: Sequence[Entry], held: Fence) -> int:
        start = self.position(iteration + 1, LEDGER_STAGES[0])
        query = {"campaign": self.campaign, "key": {"$in": [entry.key for entry in entries]}}
        written = set(self.structures.distinct("key", query))
        new = [entry for entry in entries if entry.key not in written]
        if new:
            if self.end() > start:
                raise StoreError(
                    f"campaign {self.campaign!r}: iteration {iteration + 1} is in the ledger by now"
                )
            self._insert(new, start, iteration, IMPORT, held)
        return start + len(new)

    def _checkpoint(self, iteration: int, held: Fence) -> dict[Mode, SufficientStatistics]:
        position = self.position(iteration + 1, LEDGER_STAGES[0])
        count = self.exclusions.statistics_exclusions(iteration)
        statistics = self.statistics_at(position, count)
        for mode, stats in statistics.items():
            self._store(mode, position, stats, count, held)
        self._store_variance(iteration, position, count, held)
        return statistics

    def _insert(
        self,
        entries: Sequence[Entry],
        start: int,
        iteration: int,
        stage: str,
        held: Fence,
        written: Collection[str] = (),
    ) -> None:
        """Write entries from a position on, with the fingerprints of those that are not `written`.

        Fingerprints first: an entry in the ledger always has its fingerprint, and keeps it.

        Raises
        ------
        StoreError
            If another entry is at one of the positions.
        """
        documents = self._chained(
            [
                entry.document(self.campaign, position, iteration, stage)
                for position, entry in enumerate(entries, start)
            ],
            start,
        )
        for document in documents:
            refuse_too_large(document, f"{document['key']} ({document['n_atoms']} atoms)")
        self._delete_unfinished(self.end(), held)
        arrays = [entry.q for entry in entries]
        pairs = zip(documents, arrays, strict=True)
        new = [(document, q) for document, q in pairs if document["_id"] not in written]
        self._write_fingerprints(new, held)
        # what is at these positions instead is found by the query below
        with suppress(DuplicateKeyError):
            merge(self.structures, documents, lease=held)
        positions = {"$gte": start, "$lt": start + len(documents)}
        query = {"campaign": self.campaign, "position": positions}
        ids = {row["position"]: row["_id"] for row in self.structures.find(query, {"position": 1})}
        for document in documents:
            if ids.get(document["position"]) != document["_id"]:
                raise StoreError(
                    f"campaign {self.campaign!r}: another entry is at ledger position "
                    f"{document['position']}"
                )

    def _chained(self, documents: Sequence[dict[str, Any]], start: int) -> list[dict[str, Any]]:
        """Seal entries from a position on, each with the digest of the ledger up to it.

        Entries that are written keep their digest.

        Raises
        ------
        StoreError
            If the ledger has no entry before this position.
        """
        positions = {"$gte": start - 1, "$lt": start + len(documents)}
        query = {"campaign": self.campaign, "position": positions}
        rows = self.structures.find(query, {"position": 1, "digest": 1})
        written = {row["position"]: row.get("digest", "") for row in rows}
        if start > 0 and start - 1 not in written:
            raise StoreError(
                f"campaign {self.campaign!r}: the ledger has no entry at position {start - 1}"
            )
        digest = written.get(start - 1, "")
        chained = []
        for document in documents:
            entry = sealed("structures", document)
            digest = written.get(document["position"]) or link(digest, entry)
            chained.append({**entry, "digest": digest})
        return chained

    def _written(self, iteration: int, stage: str, positions: dict[str, int]) -> set[str]:
        """Return the identifiers of a stage's entries that an earlier run has written.

        Raises
        ------
        StoreError
            If one is not at its position: key → position.
        """
        query = {"campaign": self.campaign, "iteration": iteration, "stage": stage}
        rows = list(self.structures.find(query, {"key": 1, "position": 1}))
        if any(positions.get(row["key"]) != row["position"] for row in rows):
            raise StoreError(
                f"campaign {self.campaign!r}, iteration {iteration}, stage {stage}: the ledger "
                f"already holds other entries for this stage; was the campaign changed after it "
                f"was started?"
            )
        return {row["_id"] for row in rows}
