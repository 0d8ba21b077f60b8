"""The ledger of acceptances, and the covariance as a fold over it.

An entry is a structure with its place in line. Entries are only ever appended, stage by stage; a
stage that runs twice writes the same entries, so nothing is lost by running it again and nothing is
doubled.

    statistics(n, stage) = fold of `add` over the fingerprints of all entries before (n, stage)
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

import numpy as np
from pymatgen.core import Structure
from pymongo import ASCENDING
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError, OperationFailure

from entropy_flows.digest import bytes_sha256
from entropy_flows.entropy import DatasetParams, Mode, SufficientStatistics
from entropy_flows.schemas.stages import IMPORT, LEDGER_STAGES
from entropy_flows.store.arrays import pack
from entropy_flows.store.connection import StoreError, refuse_too_large, refused
from entropy_flows.store.fence import Fence, merge
from entropy_flows.store.lease import LeaseLostError, lease
from entropy_flows.store.ledger_arrays import LedgerArrays
from entropy_flows.store.seals import link, sealed

NAMESPACE = uuid.UUID("6f0e51c3-6f5c-4a39-9a0a-1b9a4c7b7a11")
ATTEMPTS = 5
"""Times that a stage is appended anew because this process was stopped for longer than its
lease.
"""

Result = TypeVar("Result")


def structure_id(campaign: str, key: str) -> str:
    """Identifier of a structure: the same whoever computes it and however often."""
    return str(uuid.uuid5(NAMESPACE, f"{campaign}/{key}"))


@dataclass(frozen=True)
class Entry:
    """A structure to append.

    Attributes
    ----------
    key
        Unique name within the campaign.
    structure
        The cell.
    q
        Its fingerprints (n_atoms, dim).
    gain
        ΔH when it was accepted (None for what bypassed the filter).
    origin
        Where it came from: phase, temperature, k, pressure, mode, run, step, model, …
    """

    key: str
    structure: Structure
    q: np.ndarray
    gain: float | None
    origin: dict[str, Any] = field(default_factory=dict)


class Ledger(LedgerArrays):
    """The ledger of one campaign.

    Parameters
    ----------
    database
        Where the collections are.
    campaign
        Name of the campaign.
    dataset
        The global fingerprint and λ: the statistics belong to these settings.
    """

    def __init__(self, database: Database, campaign: str, dataset: DatasetParams):
        super().__init__(database, campaign, dataset)
        self.database = database

    def position(self, iteration: int, stage: str) -> int:
        """Number of entries before this stage of this iteration, which is the position of its first entry."""
        first = (iteration, _rank(stage))
        return self._bisect(lambda entry: (entry["iteration"], entry["rank"]) < first)

    def end(self) -> int:
        """Number of entries, which is the position of the next one."""
        return self._bisect(lambda _: True)

    def _bisect(self, is_before: Callable[[dict[str, Any]], bool]) -> int:
        """Position of the first entry that is not before something, in 2 log n queries of one entry each.

        Positions have no gaps and stages follow one another, so nothing has to be counted or
        sorted.
        """

        def before(position: int) -> bool:
            key = {"campaign": self.campaign, "position": position}
            entry = self.structures.find_one(key, {"iteration": 1, "rank": 1})
            return entry is not None and is_before(entry)

        step = 1
        while before(step - 1):
            step *= 2
        low = step // 2  # all positions below are before
        high = step - 1  # this one is not
        while low < high:
            middle = (low + high) // 2
            if before(middle):
                low = middle + 1
            else:
                high = middle
        return low

    def statistics(self, iteration: int, stage: str) -> dict[Mode, SufficientStatistics]:
        """Statistics of everything before this stage, per mode.

        Starts from the last stored covariance at or before that point and replays the entries after
        it, so a crash between writing entries and writing their covariance costs a replay and
        nothing else.
        """
        return self.statistics_at(self.position(iteration, stage))

    def means(self, iteration: int, stage: str) -> np.ndarray | None:
        """Mean fingerprints (n, dim) of the cells of everything before this stage; None if there is nothing."""
        found = [
            q.mean(axis=0) for q in self.fingerprints_between(0, self.position(iteration, stage))
        ]
        return np.array(found) if found else None

    def append(self, iteration: int, stage: str, entries: Sequence[Entry]) -> int:
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
        what = f"{stage} of iteration {iteration}"
        return self._alone(what, lambda held: self._append(iteration, stage, entries, held))

    def extend(self, iteration: int, entries: Sequence[Entry]) -> int:
        """Append imported cells where the ledger ends; their covariances are left to `checkpoint_statistics`.

        A cell whose key is in the ledger is left out: imported twice, it is there once.

        Returns
        -------
        int
            Position after the last entry.

        Raises
        ------
        StoreError
            If the ledger has entries of a later iteration, or the lease ran out again and again.
        """
        return self._alone("imported cells", lambda held: self._extend(iteration, entries, held))

    def checkpoint_statistics(self, iteration: int, stage: str) -> dict[Mode, SufficientStatistics]:
        """Store the covariances as they stand before a stage, and return them."""
        return self._alone("covariances", lambda held: self._remember(iteration, stage, held))

    def requested(self, first: int, last: int) -> int:
        """Number of entries of these iterations that a label was asked for; what was imported has cost none."""
        entries = self.position(last + 1, LEDGER_STAGES[0]) - self.position(first, LEDGER_STAGES[0])
        imports = {
            "campaign": self.campaign,
            "stage": IMPORT,
            "iteration": {"$gte": first, "$lte": last},
        }
        return entries - self.structures.count_documents(imports)

    def _alone(self, what: str, write: Callable[[Fence], Result]) -> Result:
        """Write while nobody else does, in any process; one that died is waited for until its lease has run out."""
        for _ in range(ATTEMPTS):
            try:
                with (
                    suppress(LeaseLostError),
                    lease(self.database, f"ledger/{self.campaign}") as held,
                ):
                    return write(held)
            except OperationFailure as err:
                raise refused(
                    self.database, err, f"campaign {self.campaign!r}: cannot write {what}"
                ) from None
        raise StoreError(
            f"campaign {self.campaign!r}: the ledger's lease ran out {ATTEMPTS} times while writing {what}"
        )

    def _remember(
        self, iteration: int, stage: str, held: Fence
    ) -> dict[Mode, SufficientStatistics]:
        position = self.position(iteration, stage)
        statistics = self.statistics_at(position)
        for mode, stats in statistics.items():
            self._store(mode, position, stats, held)
        return statistics

    def _extend(self, iteration: int, entries: Sequence[Entry], held: Fence) -> int:
        start = self.position(iteration + 1, LEDGER_STAGES[0])
        if self.end() > start:
            raise StoreError(
                f"campaign {self.campaign!r}: iteration {iteration + 1} is in the ledger by now"
            )
        keys = [entry.key for entry in entries]
        there = set(
            self.structures.distinct("key", {"campaign": self.campaign, "key": {"$in": keys}})
        )
        new = [entry for entry in entries if entry.key not in there]
        if new:
            self._insert(new, start, iteration, IMPORT, held)
        return start + len(new)

    def _append(self, iteration: int, stage: str, entries: Sequence[Entry], held: Fence) -> int:
        start = self.position(iteration, stage)
        expected = {entry.key: place for place, entry in enumerate(entries, start)}
        written = self._written(iteration, stage, expected)
        if not entries:
            return start
        statistics = self.statistics_at(start)
        self._insert(entries, start, iteration, stage, held, written)
        end = start + len(entries)
        for q in self.fingerprints_between(
            start, end
        ):  # as stored: what an interrupted run of this stage wrote stays
            for stats in statistics.values():
                stats.add(q)
        for mode, stats in statistics.items():
            self._store(mode, end, stats, held)
        return end

    def entries(self, **query: Any) -> Iterable[dict[str, Any]]:
        """Entries in ledger order."""
        return self.structures.find({"campaign": self.campaign, **query}).sort(
            "position", ASCENDING
        )

    def _insert(
        self,
        entries: Sequence[Entry],
        start: int,
        iteration: int,
        stage: str,
        held: Fence,
        written: Iterable[str] = (),
    ) -> None:
        """Write entries from a position on, and the fingerprints of those that are not written; what is there stays.

        Fingerprints first: an entry in the ledger always has its fingerprint, and keeps it.

        Raises
        ------
        StoreError
            If another entry is at one of the positions.
        """
        documents = [
            self._document(entry, start + n, iteration, stage) for n, entry in enumerate(entries)
        ]
        documents = self._chained(documents, start)
        for document in documents:
            refuse_too_large(document, f"{document['key']} ({document['n_atoms']} atoms)")
        self._delete_unfinished(self.end(), held)
        pairs = zip(documents, entries, strict=True)
        self._write_fingerprints(
            [(d, entry.q) for d, entry in pairs if d["_id"] not in set(written)], held
        )
        with suppress(DuplicateKeyError):  # what is there instead is told below
            merge(self.structures, documents, lease=held)
        ids = [document["_id"] for document in documents]
        query = {"campaign": self.campaign, "position": {"$gte": start, "$lt": start + len(ids)}}
        there = {
            entry["position"]: entry["_id"]
            for entry in self.structures.find(query, {"position": 1})
        }
        if other := [place for place, key in enumerate(ids, start) if there.get(place) != key]:
            raise StoreError(
                f"campaign {self.campaign!r}: another entry is at ledger position {other[0]}"
            )

    def _chained(self, documents: Sequence[dict[str, Any]], start: int) -> list[dict[str, Any]]:
        """Entries from a position on, each with the digest of the ledger up to it; those that are written keep theirs.

        Raises
        ------
        StoreError
            If the ledger has no entry before this position.
        """
        here = {
            "campaign": self.campaign,
            "position": {"$gte": start - 1, "$lt": start + len(documents)},
        }
        rows = self.structures.find(here, {"position": 1, "digest": 1})
        written = {row["position"]: row.get("digest", "") for row in rows}
        if start > 0 and start - 1 not in written:
            raise StoreError(
                f"campaign {self.campaign!r}: the ledger has no entry at position {start - 1}"
            )
        before = written.get(start - 1, "")
        chained = []
        for document in documents:
            entry = sealed("structures", document)
            before = written.get(document["position"]) or link(before, entry)
            chained.append({**entry, "digest": before})
        return chained

    def _document(self, entry: Entry, place: int, iteration: int, stage: str) -> dict[str, Any]:
        """An entry as the ledger keeps it."""
        cell = entry.structure
        return {
            "_id": structure_id(self.campaign, entry.key),
            "campaign": self.campaign,
            "key": entry.key,
            "position": place,
            "iteration": iteration,
            "stage": stage,
            "rank": _rank(stage),
            "formula": cell.composition.reduced_formula,
            "n_atoms": len(cell),
            "elements": sorted({site.specie.symbol for site in cell}),
            "volume_per_atom": cell.volume / len(cell),
            "gain": entry.gain,
            "origin": entry.origin,
            "structure": cell.as_dict(),
            "fingerprint": bytes_sha256(pack(entry.q)),
            "created": datetime.now(UTC),
        }

    def _written(self, iteration: int, stage: str, expected: dict[str, int]) -> set[str]:
        """Identifiers of this stage's entries that are in the ledger; a StoreError if they are not among `expected`."""
        query = {"campaign": self.campaign, "iteration": iteration, "stage": stage}
        written = list(self.structures.find(query, {"key": 1, "position": 1}))
        if any(expected.get(document["key"]) != document["position"] for document in written):
            raise StoreError(
                f"campaign {self.campaign!r}, iteration {iteration}, stage {stage}: the ledger already holds other "
                f"entries for this stage; was the campaign changed after it was started?"
            )
        return {document["_id"] for document in written}


def _rank(stage: str) -> int:
    return LEDGER_STAGES.index(stage)
