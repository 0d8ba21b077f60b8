"""The ledger of acceptances, and the covariance as a fold over it.

An entry is a structure with its place in line. Entries are only ever appended, stage by stage; a stage that runs twice
writes the same entries, so nothing is lost by running it again and nothing is doubled.

    statistics(n, stage) = fold of `add` over the fingerprints of all entries before (n, stage)
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from bson import Binary
from pymatgen.core import Structure
from pymongo import ASCENDING, DESCENDING, ReplaceOne, UpdateOne
from pymongo.database import Database
from pymongo.errors import BulkWriteError, DuplicateKeyError

from entropy_flows.entropy import MODES, DatasetParams, Mode, SufficientStatistics
from entropy_flows.fingerprints import make_fingerprint
from entropy_flows.store.connection import StoreError

NAMESPACE = uuid.UUID("6f0e51c3-6f5c-4a39-9a0a-1b9a4c7b7a11")
RACES = 5
"""Times that a stage is appended anew because another process wrote at the same places at the same moment."""
IMPORT = "import"
"""The stage of cells that came with their labels: iteration 0, or the end of a later one."""
STAGES = ("seed", "select", "refine", "anchor", "top_up_1", "top_up_2", "top_up_3", IMPORT)
"""Stages that append, in the order in which they do so within an iteration."""
LEASE_SECONDS = 60.0
"""After which whoever was appending is taken for dead."""


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


class Ledger:
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
        self.structures, self.fingerprints = database["structures"], database["fingerprints"]
        self.covariances, self.campaign = database["covariances"], campaign
        self.leases = database["leases"]
        self.fingerprint, self.regularization = make_fingerprint(dataset.fingerprint), dataset.regularization

    def position(self, iteration: int, stage: str) -> int:
        """Number of entries before this stage of this iteration, which is the position of its first entry."""
        before = {"$or": [{"iteration": {"$lt": iteration}}, {"iteration": iteration, "rank": {"$lt": _rank(stage)}}]}
        return self.structures.count_documents({"campaign": self.campaign, **before})

    def statistics(self, iteration: int, stage: str) -> dict[Mode, SufficientStatistics]:
        """Statistics of everything before this stage, per mode.

        Starts from the last stored covariance at or before that point and replays the entries after it, so a crash
        between writing entries and writing their covariance costs a replay and nothing else.
        """
        end = self.position(iteration, stage)
        found: dict[Mode, SufficientStatistics] = {}
        for mode in MODES:
            start, stats = self._stored(mode, end)
            for q in self.fingerprints_between(start, end):
                stats.add(q)
            found[mode] = stats
        return found

    def means(self, iteration: int, stage: str) -> np.ndarray | None:
        """Mean fingerprints (n, dim) of the cells of everything before this stage; None if there is nothing."""
        found = [q.mean(axis=0) for q in self.fingerprints_between(0, self.position(iteration, stage))]
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
            If another process has written other entries at these positions, or this stage was appended before with
            different entries.
        """
        for _ in range(RACES):
            # the other one has won: look at what there is
            with contextlib.suppress(BulkWriteError, DuplicateKeyError), self._alone():
                return self._append(iteration, stage, entries)
        raise StoreError(f"campaign {self.campaign!r}: other processes keep writing {stage} of iteration {iteration}")

    def extend(self, iteration: int, entries: Sequence[Entry]) -> int:
        """Append imported cells where the ledger ends; their covariances are left to `remember`.

        A cell whose key is in the ledger is left out: imported twice, it is there once.

        Returns
        -------
        int
            Position after the last entry.

        Raises
        ------
        StoreError
            If the ledger has entries of a later iteration, or others keep writing.
        """
        keys = [entry.key for entry in entries]
        for _ in range(RACES):
            with contextlib.suppress(BulkWriteError, DuplicateKeyError), self._alone():
                start = self.position(iteration + 1, STAGES[0])
                if self.structures.count_documents({"campaign": self.campaign}) > start:
                    raise StoreError(f"campaign {self.campaign!r}: iteration {iteration + 1} is in the ledger by now")
                there = set(self.structures.distinct("key", {"campaign": self.campaign, "key": {"$in": keys}}))
                placed = list(enumerate((entry for entry in entries if entry.key not in there), start))
                documents = [self._document(entry, place, iteration, IMPORT) for place, entry in placed]
                if documents:
                    self._insert(documents, [self._array(entry, place) for place, entry in placed])
                return start + len(documents)
        raise StoreError(f"campaign {self.campaign!r}: other processes keep writing where cells are to be imported")

    def remember(self, iteration: int, stage: str) -> dict[Mode, SufficientStatistics]:
        """Store the covariances as they stand before a stage, and return them."""
        position, statistics = self.position(iteration, stage), self.statistics(iteration, stage)
        for mode, stats in statistics.items():
            self._store(mode, position, stats)
        return statistics

    def asked_for(self, iteration: Any) -> int:
        """Number of entries that a label was asked for; what was imported has cost none.

        Parameters
        ----------
        iteration
            Number, or a condition such as {"$lte": 3}.
        """
        query = {"campaign": self.campaign, "iteration": iteration, "stage": {"$ne": IMPORT}}
        return self.structures.count_documents(query)

    def _append(self, iteration: int, stage: str, entries: Sequence[Entry]) -> int:
        start = self.position(iteration, stage)
        expected = {entry.key: place for place, entry in enumerate(entries, start)}
        written = self._written(iteration, stage, expected)
        if not entries:
            return start
        statistics = self.statistics(iteration, stage)
        placed = list(enumerate(entries, start))
        documents = [self._document(entry, place, iteration, stage) for place, entry in placed]
        arrays = [self._array(entry, place) for place, entry in placed]
        self._insert(documents, [array for array in arrays if array["structure"] not in written])
        self._written(iteration, stage, expected)  # another process may have been first
        end = start + len(entries)
        for q in self.fingerprints_between(start, end):  # as stored: what an interrupted run of this stage wrote stays
            for stats in statistics.values():
                stats.add(q)
        for mode, stats in statistics.items():
            self._store(mode, end, stats)
        return end

    def entries(self, **query: Any) -> Iterable[dict[str, Any]]:
        """Entries in ledger order."""
        return self.structures.find({"campaign": self.campaign, **query}).sort("position", ASCENDING)

    def fingerprints_between(self, start: int, end: int) -> Iterable[np.ndarray]:
        """Fingerprints of the entries from one position up to another, in order."""
        query = {"campaign": self.campaign, "position": {"$gte": start, "$lt": end}}
        query["settings"] = self.fingerprint.settings_hash
        count = start
        for document in self.fingerprints.find(query).sort("position", ASCENDING):
            if document["position"] != count:
                break
            count += 1
            yield np.frombuffer(document["q"], dtype="<f8").reshape(document["shape"])
        if count != end:
            raise StoreError(
                f"campaign {self.campaign!r}: no fingerprint with settings {self.fingerprint.settings_hash} for ledger "
                f"position {count}; were the fingerprint's settings changed after the campaign was started?"
            )

    def _insert(self, documents: list[dict[str, Any]], arrays: list[dict[str, Any]]) -> None:
        """Write entries, and the fingerprints that are not there; what was written before stays.

        Fingerprints first: an entry in the ledger always has its fingerprint, and keeps it.
        """
        self._forget_unfinished([document["_id"] for document in documents])
        if arrays:
            self.fingerprints.bulk_write(
                [ReplaceOne({"structure": a["structure"], "settings": a["settings"]}, a, upsert=True) for a in arrays]
            )
        self.structures.bulk_write(
            [UpdateOne({"_id": d["_id"]}, {"$setOnInsert": d}, upsert=True) for d in documents], ordered=True
        )

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Append while nobody else does, in any process; one that died is waited for until its lease has ended."""
        lease = {"_id": f"ledger/{self.campaign}", "by": uuid.uuid4().hex}
        while True:
            ended = {"_id": lease["_id"], "since": {"$lt": datetime.now(UTC) - timedelta(seconds=LEASE_SECONDS)}}
            self.leases.delete_one(ended)
            with contextlib.suppress(DuplicateKeyError):
                self.leases.insert_one({**lease, "since": datetime.now(UTC)})
                break
            time.sleep(0.05)
        try:
            yield
        finally:
            self.leases.delete_one(lease)

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
            "created": datetime.now(UTC),
        }

    def _array(self, entry: Entry, place: int) -> dict[str, Any]:
        """An entry's fingerprints as they are kept."""
        return {
            "structure": structure_id(self.campaign, entry.key),
            "campaign": self.campaign,
            "position": place,
            "settings": self.fingerprint.settings_hash,
            "shape": list(entry.q.shape),
            "q": Binary(np.ascontiguousarray(entry.q, dtype="<f8").tobytes()),
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

    def _forget_unfinished(self, keep: list[str]) -> None:
        """Delete fingerprints that an interrupted run left beyond the ledger's end for other entries than these."""
        end = self.structures.count_documents({"campaign": self.campaign})
        beyond = {"campaign": self.campaign, "position": {"$gte": end}, "structure": {"$nin": keep}}
        self.fingerprints.delete_many(beyond)

    def _stored(self, mode: Mode, end: int) -> tuple[int, SufficientStatistics]:
        """The last covariance stored at or before a position, and where it stands."""
        query = {"campaign": self.campaign, "mode": mode, "settings": self._settings, "position": {"$lte": end}}
        found = self.covariances.find_one(query, sort=[("position", DESCENDING)])
        if found is None:
            return 0, SufficientStatistics(self.fingerprint.dim, self.regularization, mode)
        return found["position"], SufficientStatistics.from_bytes(bytes(found["data"]))

    def _store(self, mode: str, position: int, stats: SufficientStatistics) -> None:
        key = {"campaign": self.campaign, "mode": mode, "position": position, "settings": self._settings}
        body = {
            "data": Binary(stats.to_bytes()),
            "checksum": stats.checksum(),
            "entropy": stats.entropy(),
            "n": stats.n,
        }
        self.covariances.replace_one(key, {**key, **body}, upsert=True)

    @property
    def _settings(self) -> str:
        return f"{self.fingerprint.settings_hash}/{self.regularization:g}"


def _rank(stage: str) -> int:
    return STAGES.index(stage)
