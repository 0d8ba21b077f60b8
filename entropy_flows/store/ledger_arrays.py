"""Fingerprints and covariances of the ledger's entries, as they are stored.

    statistics_at(n, v) = fold of `add` over the fingerprints at positions 0 … n − 1 that the first
                          v rows of `exclusions` do not exclude

A covariance that is stored saves the fold over what is before it, wherever the same entries are
excluded there. It also says of which ledger it is: its field `ledger` is the digest of the last
entry before it, so that a ledger that was cut or replaced is told from this one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from pymongo import ASCENDING
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import OperationFailure

from entropy_flows.conventions import Array
from entropy_flows.entropy import MODES, DatasetParams, Mode
from entropy_flows.fingerprints import make_fingerprint
from entropy_flows.store.arrays import Arrays, pack, unpack
from entropy_flows.store.connection import StoreError, refused
from entropy_flows.store.exclusions import Exclusions, positions
from entropy_flows.store.fence import Fence, merge
from entropy_flows.store.lease import LeaseLostError, lease
from entropy_flows.store.seals import sealed

if TYPE_CHECKING:
    from entropy_flows.entropy import SufficientStatistics

QUERY_BATCH = 64
"""Fingerprints that one query reads or writes."""
MAX_ATTEMPTS = 5
"""Times that something is written anew because this process was stopped for longer than its
lease.
"""

Result = TypeVar("Result")


class LedgerArrays:
    """The fingerprints and covariances of one campaign.

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
        self.database = database
        self.campaign = campaign
        self.structures = database["structures"]
        self.fingerprints = database["fingerprints"]
        self.covariances = database["covariances"]
        self.bases = database["bases"]
        self.targets = database["targets"]
        self.precisions = database["precisions"]
        self.arrays = Arrays(database, campaign)
        self.fingerprint = make_fingerprint(dataset.fingerprint)
        self.regularization = dataset.regularization
        self.exclusions = Exclusions(database, campaign)

    def statistics_at(self, end: int, count: int = 0) -> dict[Mode, SufficientStatistics]:
        """Return the statistics of the entries before a position, per mode.

        Parameters
        ----------
        end
            The position.
        count
            Number of rows of `exclusions` that count.
        """
        excluded = self.excluded(count)
        stored = {mode: self._stored(mode, end, excluded) for mode in MODES}
        first = min(position for position, _ in stored.values())
        for position, q in enumerate(self.fingerprints_between(first, end), first):
            for start, stats in stored.values():
                if position >= start and position not in excluded:
                    stats.add(q)
        return {mode: stats for mode, (_, stats) in stored.items()}

    def _lease(self, title: str, write: Callable[[Fence], Result]) -> Result:
        """Write while no other process does, on any machine.

        A process that died is waited for until its lease has run out.
        """
        name = f"ledger/{self.campaign}"
        for _ in range(MAX_ATTEMPTS):
            try:
                with suppress(LeaseLostError), lease(self.database, name) as held:
                    return write(held)
            except OperationFailure as err:
                message = f"campaign {self.campaign!r}: cannot write {title}"
                raise refused(self.database, err, message) from None
        raise StoreError(
            f"campaign {self.campaign!r}: the ledger's lease ran out {MAX_ATTEMPTS} times "
            f"while writing {title}"
        )

    def excluded(self, count: int) -> frozenset[int]:
        """Return the positions of the entries that the first rows of `exclusions` exclude."""
        return positions(self.exclusions.exclusions()[:count]) if count else frozenset()

    def fingerprints_between(self, start: int, end: int) -> Iterator[Array]:
        """Yield the fingerprints (n_atoms, dim) of the entries from one position up to another."""
        query = {"campaign": self.campaign, "fingerprint_hash": self.fingerprint.fingerprint_hash}
        for first in range(start, end, QUERY_BATCH):
            last = min(end, first + QUERY_BATCH)
            rows = self.fingerprints.find({**query, "position": {"$gte": first, "$lt": last}})
            expected = first
            for row in rows.sort("position", ASCENDING):
                if row["position"] != expected:
                    break
                expected += 1
                yield self.array_of(row)
            if expected != last:
                raise StoreError(
                    f"campaign {self.campaign!r}: no fingerprint with settings "
                    f"{self.fingerprint.fingerprint_hash} for ledger position {expected}; were "
                    f"the fingerprint's settings changed after the campaign was started?"
                )

    def array_of(self, row: dict[str, Any]) -> Array:
        """Read the fingerprints (n_atoms, dim) that a document of `fingerprints` keeps.

        Raises
        ------
        ValueError
            If its bytes are not those of its shape.
        StoreError
            If its file is not whole.
        """
        return unpack(self.arrays.get(row), tuple(row["shape"]))

    def _write_fingerprints(
        self, pairs: Sequence[tuple[dict[str, Any], Array]], held: Fence
    ) -> None:
        """Write the fingerprints (n_atoms, dim) of entries, each given with its document."""
        for first in range(0, len(pairs), QUERY_BATCH):
            rows = [self._row(document, q) for document, q in pairs[first : first + QUERY_BATCH]]
            rows = [sealed("fingerprints", row) for row in rows]
            merge(
                self.fingerprints,
                rows,
                on=("structure_id", "fingerprint_hash"),
                matched="replace",
                lease=held,
            )

    def _row(self, document: dict[str, Any], q: Array) -> dict[str, Any]:
        """Build the document of an entry's fingerprints.

        Those too long for a document are written as a file here.
        """
        data = pack(q)
        return {
            "structure_id": document["_id"],
            "campaign": self.campaign,
            "position": document["position"],
            "fingerprint_hash": self.fingerprint.fingerprint_hash,
            "shape": list(q.shape),
            "sha256": document["fingerprint"],
            **self.arrays.put(data),
        }

    def _delete_unfinished(self, end: int, held: Fence) -> None:
        """Delete what an interrupted run has left.

        It is fingerprints from the ledger's end on, and files that no document names. They are
        looked up first. If the lease then still holds they are nobody's, and stay so, even if this
        process is stopped before it deletes them: whoever appends next deletes them too, and writes
        documents of its own.
        """
        query = {"campaign": self.campaign, "fingerprint_hash": self.fingerprint.fingerprint_hash}
        beyond = list(self.fingerprints.find({**query, "position": {"$gte": end}}, {"file": 1}))
        unfinished = [row["_id"] for row in beyond]
        files = [*self.arrays.unused(), *(row["file"] for row in beyond if "file" in row)]
        held.check(self.fingerprints.database)
        for first in range(0, len(unfinished), QUERY_BATCH):
            self.fingerprints.delete_many({"_id": {"$in": unfinished[first : first + QUERY_BATCH]}})
        self.arrays.delete(files)

    def _stored(
        self, mode: Mode, end: int, excluded: frozenset[int]
    ) -> tuple[int, SufficientStatistics]:
        """Return the last covariance at or before a position that has the same exclusions.

        Returns
        -------
        tuple
            Its position, and its statistics.
        """
        from entropy_flows.entropy import SufficientStatistics

        key = {**self.statistics_key(), "mode": mode}
        position, stored = self.last_stored(self.covariances, key, end, excluded)
        if stored is None:
            return 0, SufficientStatistics(self.fingerprint.dim, self.regularization, mode)
        return position, SufficientStatistics.from_bytes(self.arrays.get(stored))

    def last_stored(
        self,
        collection: Collection,
        key: dict[str, Any],
        end: int,
        excluded: frozenset[int],
    ) -> tuple[int, dict[str, Any] | None]:
        """Return the last statistics at or before a position that have the same exclusions.

        Parameters
        ----------
        collection
            `covariances` or `precisions`.
        key
            Fields of the documents that count.
        end
            The position.
        excluded
            Positions of the entries that are excluded.

        Returns
        -------
        tuple
            Their position, and their document; 0 and None without one.
        """
        fields = {"position": 1, "exclusions": 1, "_id": 0}
        rows = collection.find({**key, "position": {"$lte": end}}, fields)
        excluded_by = {0: frozenset[int]()}
        for row in sorted(rows, key=lambda row: -row["position"]):
            count = row.get("exclusions", 0)
            if count not in excluded_by:
                excluded_by[count] = self.excluded(count)
            different = excluded_by[count] ^ excluded
            if all(other >= row["position"] for other in different):
                return row["position"], collection.find_one({**key, "position": row["position"]})
        return 0, None

    def _store(
        self, mode: str, position: int, stats: SufficientStatistics, count: int, held: Fence
    ) -> None:
        key = {**self.statistics_key(), "mode": mode, "position": position}
        if self.covariances.find_one(key, {"_id": 1}) is not None:
            return
        body = {"checksum": stats.checksum(), "entropy": stats.entropy(), "n": stats.n}
        body["ledger"] = self.digest_before(position)
        body["exclusions"] = count
        document = {**key, **body, **self.arrays.put(stats.to_bytes())}
        merge(self.covariances, [sealed("covariances", document)], on=tuple(key), lease=held)

    def digest_before(self, position: int) -> str | None:
        """Return the digest of the ledger up to a position; None of its beginning."""
        key = {"campaign": self.campaign, "position": position - 1}
        last = self.structures.find_one(key, {"digest": 1})
        return None if last is None else str(last["digest"])

    def statistics_key(self) -> dict[str, Any]:
        """Return what the documents of this ledger's statistics have in common."""
        return {
            "campaign": self.campaign,
            "fingerprint_hash": self.fingerprint.fingerprint_hash,
            "regularization": self.regularization,
        }
