"""What every check of a campaign takes and returns."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from gridfs import GridFSBucket
from gridfs.errors import CorruptGridFile, NoFile
from pymongo.collection import Collection

from entropy_flows.digest import bytes_sha256
from entropy_flows.schemas import schema_of
from entropy_flows.store.campaign import CampaignStore
from entropy_flows.store.exclusions import positions
from entropy_flows.store.ledger import Ledger

SETTLE_SECONDS = 2.0
"""What is still wrong after this long was not just being written."""
QUERY_BATCH = 100
"""Values in one query: the embedded server's time for it is quadratic."""

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class VerifyResult:
    """The result of one check.

    Attributes
    ----------
    name
        Name of the check.
    checked
        Number of documents or files that it looked at.
    problems
        What is wrong, a line each.
    wasted
        What takes room or lacks a result, but contradicts nothing.
    """

    name: str
    checked: int
    problems: list[str]
    wasted: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class VerifyContext:
    """A campaign to check.

    Attributes
    ----------
    store
        Its collections.
    job_uuids
        Identifiers of its jobs, as the workflow manager knows them.
    deep
        Recompute all fingerprints instead of a sample.
    on_progress
        Called with the name of a long check, how far it is, and how far it goes.
    """

    store: CampaignStore
    job_uuids: frozenset[str] = frozenset()
    deep: bool = False
    on_progress: Progress | None = None

    @cached_property
    def document(self) -> dict[str, Any]:
        """The campaign's own document."""
        return self.store.document()

    @cached_property
    def ledger(self) -> Ledger:
        """The ledger, with the settings that the campaign was started with."""
        config = self.document["config"]
        return self.store.ledger(schema_of(config).model_validate(config).dataset)

    @cached_property
    def iterations(self) -> list[dict[str, Any]]:
        """Documents of the iterations."""
        return self.store.iterations()

    @cached_property
    def exclusions(self) -> list[dict[str, Any]]:
        """Rows of what was excluded from the data set, and included again."""
        # read the iterations first: what those of a running campaign count is there by now
        _ = self.iterations
        return self.store.exclusions()

    def excluded_in(self, iteration: int, decision: str) -> frozenset[int]:
        """Return the positions of the entries that an iteration has left out.

        Parameters
        ----------
        iteration
            Its number.
        decision
            `STATISTICS` or `TRAINING` of `store.exclusions`.
        """
        documents = {document["iteration"]: document for document in self.iterations}
        count = documents.get(iteration, {}).get("plan", {}).get(decision, 0)
        return positions(self.exclusions[:count])

    @cached_property
    def entries(self) -> list[dict[str, Any]]:
        """The ledger's entries in order, without their structures."""
        # read the iterations first: what those of a running campaign count is in the ledger by now
        _ = self.iterations
        names = (
            "key",
            "position",
            "iteration",
            "stage",
            "rank",
            "n_atoms",
            "fingerprint",
            "gain",
            "variance_gain",
            "origin.mode",
        )
        rows = self.ledger.structures.find({"campaign": self.store.name}, dict.fromkeys(names, 1))
        return list(rows.sort("position", 1))

    @cached_property
    def by_id(self) -> dict[str, dict[str, Any]]:
        """The same entries by their identifiers."""
        return {entry["_id"]: entry for entry in self.entries}

    def progress(self, name: str, done: int, total: int) -> None:
        """Report how far a check is, if somebody watches."""
        if self.on_progress is not None:
            self.on_progress(name, done, total)


Check = Callable[[VerifyContext], VerifyResult]


def entry_title(row: dict[str, Any]) -> str:
    """Return how messages name an entry of the ledger, or its label."""
    return f"position {row['position']} ({row['key']})"


def file_defect(bucket: GridFSBucket, file: Any, sha256: str | None) -> str | None:
    """Return what is wrong with a file in GridFS that was written with this checksum, or None."""
    try:
        stream = bucket.open_download_stream(file)
        checksum = bytes_sha256(iter(lambda: stream.read(2**20), b""))
    except NoFile:
        return "its file is not in the database"
    except CorruptGridFile:
        return "its file is not whole"
    return None if checksum == sha256 else "its file does not have its checksum"


def lasting(find: Callable[[], list[str]]) -> list[str]:
    """Return the problems that are still there a moment later: the campaign may be running."""
    first = find()
    if not first:
        return []
    time.sleep(SETTLE_SECONDS)
    second = set(find())
    return [problem for problem in first if problem in second]


def find_in_batches(
    collection: Collection, field: str, values: Iterable[Any], fields: dict[str, int]
) -> Iterator[dict[str, Any]]:
    """Yield the documents in which a field has one of these values."""
    ordered = sorted(values)
    for start in range(0, len(ordered), QUERY_BATCH):
        batch = ordered[start : start + QUERY_BATCH]
        yield from collection.find({field: {"$in": batch}}, fields)
