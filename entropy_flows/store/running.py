"""The database of the running job: that of the JobStore which its output goes to.

A campaign's documents lie beside the outputs of its jobs, whichever JobStore that is. The package's
own JobStore is on the configured database. Another one on MongoDB is used as it is. A JobStore
without a server (in memory, in files) has no room for what a campaign writes, so the configured
database takes it, or an embedded server where none is configured.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from bson.codec_options import CodecOptions
from pymongo import ReadPreference
from pymongo.database import Database
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from entropy_flows.settings import settings
from entropy_flows.store.connection import shared_database
from entropy_flows.store.embedded import own_database

if TYPE_CHECKING:
    from jobflow import JobStore

_running: ContextVar[Database | None] = ContextVar("_running", default=None)


def running_database() -> Database:
    """Return the database of the running job; outside of one, the configured one."""
    database = _running.get()
    return shared_database() if database is None else database


@contextmanager
def database_of_job(store: JobStore | None) -> Iterator[None]:
    """Use the database of a JobStore for the length of the block."""
    token = _running.set(None if store is None else job_store_database(store))
    try:
        yield
    finally:
        _running.reset(token)


def job_store_database(store: JobStore) -> Database:
    """Return the database that the documents of campaigns in a JobStore are in."""
    from maggma.stores import MemoryStore, MongoStore

    outputs = store.docs_store
    if (
        not is_own(store)
        and isinstance(outputs, MongoStore)
        and not isinstance(outputs, MemoryStore)
    ):
        outputs.connect()
        return _journaled(outputs._collection.database)
    return shared_database() if settings().uri is not None else own_database()


def is_own(store: JobStore) -> bool:
    """Tell whether a JobStore is the package's own, on the configured database."""
    from entropy_flows.store.job_stores import Outputs

    return isinstance(store.docs_store, Outputs)


def _journaled(database: Database) -> Database:
    """Return a database whose writes and reads are as safe as those of `connect`."""
    return database.client.get_database(
        database.name,
        codec_options=CodecOptions(tz_aware=True),
        read_preference=ReadPreference.PRIMARY,
        write_concern=WriteConcern(w="majority", j=True),
        read_concern=ReadConcern("local"),
    )
