"""Writes that the database refuses when their writer may not write any more.

A worker that was stopped for longer than its heartbeat is taken for dead and its job is done again
by another. When it wakes up it is in the middle of its work and knows nothing of that. So each of
its writes names the document that says who may write, and the server looks at that document and
writes in one command: however long the writer sleeps between two of its own steps, nothing can come
between the look and the write.

    a job's write      the job, at its workflow manager, runs as this launch (`Launch.fence`)
    a ledger's write   the lease (`store.lease`) has not run out, and the above

The command is an aggregation that starts at the document, goes on with what is to be written if it
is there, and ends with `$merge`. A launch that a job has lost never becomes its launch again, and a
lease that has run out is never the same lease again: if the document is there after the command, it
was there before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import bson
from pymongo import ASCENDING
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import OperationFailure

Document = Mapping[str, Any]

NOW = {"$toLong": "$$NOW"}
"""The server's clock in an expression, ms since 1970."""
NO_UNIQUE_INDEX = (14, 51183, 51190)
"""Codes, of SecantusDB and of MongoDB, of a `$merge` on fields over which there is no unique
index.
"""
COMMAND_BYTES = 4 << 20
"""Documents of one command, in bytes; a larger document is a command of its own."""


class LaunchLostError(BaseException):
    """The running job was given to another launch.

    No `except Exception` takes it for a failure of the job.
    """


@dataclass(frozen=True)
class Fence:
    """A document without which a write is refused.

    Attributes
    ----------
    collection
        Collection that the document is in.
    query
        What the document must match.
    loss
        Error that is raised when it does not any more.
    message
        Message of that error.
    """

    collection: str
    query: Document
    loss: type[BaseException]
    message: str

    def holds(self, database: Database) -> bool:
        """Tell whether the document is there and as it must be."""
        return database[self.collection].find_one(self.query, {"_id": 1}) is not None

    def check(self, database: Database) -> None:
        """Raise the fence's error unless it holds."""
        if not self.holds(database):
            raise self.loss(self.message)


class Launch(Protocol):
    """One run of a job, as the workflow manager counts it."""

    @property
    def number(self) -> int:
        """Number of the run, which grows from one run of a job to the next."""

    @property
    def fence(self) -> Fence:
        """Fence that holds while the job runs as this launch."""


class _Running:
    """The launch that this process works on; a process works on one at a time."""

    launch: Launch | None = None


@contextmanager
def running(launch: Launch) -> Iterator[None]:
    """In the block, whatever this process writes is written as a part of this launch."""
    before = _Running.launch
    _Running.launch = launch
    try:
        yield
    finally:
        _Running.launch = before


def current_launch() -> Launch | None:
    """Return the launch that this process works on.

    None outside of one: in a command, or without a workflow manager.
    """
    return _Running.launch


def check_launch(database: Database) -> None:
    """Raise `LaunchLostError` if this process works on a launch that its job has lost."""
    launch = current_launch()
    if launch is not None:
        launch.fence.check(database)


def merge(
    target: Collection,
    documents: Sequence[Document],
    *,
    on: Sequence[str] = ("_id",),
    matched: str | list[Document] = "keepExisting",
    unmatched: str = "insert",
    computed: Document | None = None,
    lease: Fence | None = None,
    silent: bool = False,
) -> None:
    """Write documents while the running launch, and the lease, may.

    Parameters
    ----------
    target
        Collection to write into.
    documents
        What to write.
    on
        Fields that tell which document of the collection is meant; there is a unique index over
        them.
    matched
        What becomes of such a document: "keepExisting", "replace", or stages that change it, where
        `$$new` is the one given.
    unmatched
        What is done where there is none: "insert" or "discard".
    computed
        Fields that the server computes for the documents given.
    lease
        A further fence.
    silent
        Whether nobody needs to know that nothing was written: of a count or a time that is for
        people. It spares the look at the fences behind.

    Raises
    ------
    LaunchLostError
        If the running job is not this launch's any more.
    BaseException
        The lease's own error, if it has run out.
    """
    launch = current_launch()
    fences = [] if lease is None else [lease]
    if launch is not None:
        fences.append(launch.fence)
    into = {
        "into": target.name,
        "on": list(on),
        "whenMatched": matched,
        "whenNotMatched": unmatched,
    }
    for batch in _batches(documents):
        stages: list[Document] = [
            {"$project": {"_id": 0, "document": {"$literal": batch}}},
            {"$unwind": "$document"},
            {"$replaceWith": "$document"},
        ]
        if computed is not None:
            stages.append({"$set": computed})
        stages.append({"$merge": into})
        try:
            _aggregate(target.database, fences, stages)
        except OperationFailure as err:
            if err.code not in NO_UNIQUE_INDEX:
                raise
            # nobody has prepared this database
            target.create_index([(name, ASCENDING) for name in on], unique=True)
            _aggregate(target.database, fences, stages)
    if silent:
        return
    for fence in reversed(fences):
        fence.check(target.database)


def literal(fields: Document) -> dict[str, Any]:
    """Return fields for a stage `$set`, whose values are not expressions."""
    return {name: {"$literal": value} for name, value in fields.items()}


def nested(fields: Document) -> dict[str, Any]:
    """Build a document from fields whose names may be paths with dots."""
    document: dict[str, Any] = {}
    for path, value in fields.items():
        *parents, name = path.split(".")
        inner = document
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[name] = value
    return document


def _aggregate(database: Database, fences: Sequence[Fence], stages: Sequence[Document]) -> None:
    """Have stages run on one document if all fences hold."""
    if not fences:
        database.aggregate([{"$documents": [{}]}, *stages])
        return
    first, *others = fences
    head: list[Document] = [{"$match": first.query}, {"$limit": 1}]
    for other in others:
        pipeline = [{"$match": other.query}, {"$project": {"_id": 1}}]
        head.append({"$lookup": {"from": other.collection, "pipeline": pipeline, "as": "other"}})
        head.append({"$match": {"other": {"$ne": []}}})
    database[first.collection].aggregate([*head, *stages])


def _batches(documents: Sequence[Document]) -> Iterator[list[Document]]:
    """Yield the documents that fit into one command each."""
    batch: list[Document] = []
    size = 0
    for document in documents:
        length = len(bson.encode(document))
        if batch and size + length > COMMAND_BYTES:
            yield batch
            batch = []
            size = 0
        batch.append(document)
        size += length
    if batch:
        yield batch
