"""One way to reach the database, for the collections, the job store and the jobs alike.

Every connection asks for a write that a majority of the servers has in its journal: without, a
killed server loses writes it has acknowledged, and a workflow then fails on the missing output of a
completed parent. It reads from the primary: what a secondary has may be older than what the same
job has just written. No URI can say otherwise.

A worker does all its jobs by one connection. To open one costs three sockets, as many threads on
either side, and several commands.
"""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Any

from bson import encode
from bson.codec_options import CodecOptions
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import (
    ConfigurationError,
    InvalidURI,
    NotPrimaryError,
    OperationFailure,
    PyMongoError,
)

from entropy_flows.faults import MachineError
from entropy_flows.settings import settings
from entropy_flows.store.uri import (
    check_uri,
    journaled,
    named_database,
    selection_timeout,
    without_password,
)

if TYPE_CHECKING:
    from jobflow import JobStore

TIMEOUT_MS = 10_000
OUTPUTS = "outputs"
"""Collection of what jobs return."""
BLOBS = "blobs"
"""GridFS bucket of the large arrays in what jobs return."""
URI_NAME = "ENTROPY_FLOWS_URI"
DATABASE_NAME = "ENTROPY_FLOWS_DATABASE"
"""Names that stand for the settings' URI and database in a launchpad file."""
UNAUTHORIZED = 13
"""MongoDB's code of an operation that the user may not do."""
DOCUMENT_BYTES = 16 * 2**20 - 2**14
"""Longest document that MongoDB takes, less what the command that writes it needs."""


class StoreError(MachineError):
    """The database cannot be reached or refuses; the message never holds a password."""


class UnreachableError(StoreError):
    """The database does not answer; it may later."""


def configured_uri() -> str:
    """Return the URI of this machine's settings.

    Raises
    ------
    StoreError
        If none is configured.
    """
    uri = settings().uri
    if uri is None:
        raise StoreError("no database is configured: set ENTROPY_FLOWS_URI=mongodb://…")
    return uri.get_secret_value()


def database_name(uri: str | None = None, database: str | None = None) -> str:
    """Return the database to use: the one asked for, that of the URI, or that of the settings.

    Parameters
    ----------
    uri
        Another URI than that of the settings.
    database
        A name that was asked for.

    Raises
    ------
    StoreError
        If the URI is malformed, or names another database than was asked for.
    """
    requested = database
    if requested is None and uri is None and "database" in settings().model_fields_set:
        requested = settings().database
    named = _checked(uri or configured_uri())
    if named is not None and requested is not None and named != requested:
        source = "ENTROPY_FLOWS_DATABASE" if database is None else "what was asked for"
        raise StoreError(
            f"the URI names the database {named!r}, but {source} is {requested!r}: "
            f"name one of them only"
        )
    return named or requested or settings().database


def _checked(uri: str) -> str | None:
    """Return the database that a well-formed URI names."""
    try:
        check_uri(uri)
        return named_database(uri)
    except ValueError as err:
        raise StoreError(f"not a usable MongoDB URI ({without_password(uri)}): {err}") from None


def connect(
    uri: str | None = None, database: str | None = None, timeout_ms: int | None = None
) -> Database:
    """Connect and look whether the database answers and may be read.

    Parameters
    ----------
    uri, database
        The server and its database; None takes those of the settings.
    timeout_ms
        Time to wait for an answer; None takes that of the URI, or 10 s.

    Raises
    ------
    StoreError
        In one line, if the URI is malformed, nobody answers in time, or the credentials are
        refused.
    """
    name = database_name(uri, database)
    uri = uri or configured_uri()
    timeout_ms = timeout_ms or selection_timeout(uri) or TIMEOUT_MS
    try:
        client: MongoClient = MongoClient(
            journaled(uri),
            serverSelectionTimeoutMS=timeout_ms,
            connectTimeoutMS=timeout_ms,
            tz_aware=True,
        )
        # a read, since a ping is answered to anybody
        client[name]["campaigns"].find_one({}, {"_id": True})
    except (InvalidURI, ConfigurationError, ValueError) as err:
        raise StoreError(
            f"not a usable MongoDB URI ({without_password(uri)}): {type(err).__name__}"
        ) from None
    except OperationFailure as err:
        reason = (err.details or {}).get("errmsg", "refused")
        raise StoreError(f"MongoDB at {without_password(uri)} refused: {reason}") from None
    except PyMongoError as err:
        raise UnreachableError(
            f"MongoDB at {without_password(uri)} cannot be reached within {timeout_ms / 1000:g} s "
            f"({type(err).__name__}); is the server running and the port open?"
        ) from None
    return client[name]


def shared_client(uri: str) -> MongoClient:
    """Return the client by which this process reaches a server; nobody closes it.

    Raises
    ------
    StoreError
        As of `connect`, when the client is new.
    """
    return _client(journaled(uri), os.getpid())


def shared_database() -> Database:
    """Return the configured database by the client that this process has for its server.

    Raises
    ------
    StoreError
        As of `connect`, when the client is new.
    """
    name = database_name()
    options: CodecOptions = CodecOptions(tz_aware=True)
    return shared_client(configured_uri()).get_database(name, codec_options=options)


@functools.lru_cache(maxsize=2)
def _client(address: str, _process: int) -> MongoClient:
    """Connect to a server once in a process: a client is of no use to a forked one."""
    return connect(address).client


def refuse_too_large(document: dict[str, Any], name: str) -> None:
    """Refuse a document that MongoDB would not take, before anything is written.

    Raises
    ------
    ValueError
        Naming it and its size.
    """
    size = len(encode(document))
    if size > DOCUMENT_BYTES:
        raise ValueError(
            f"{name} has {size / 2**20:.1f} MiB as a document of the database, "
            f"whose limit is 16 MiB"
        )


def _reason(err: PyMongoError) -> str | None:
    """Return what the database says of a write that it refused."""
    if not isinstance(err, OperationFailure):
        return None
    details = err.details or {}
    failed = [*details.get("writeErrors", []), *details.get("writeConcernErrors", [])]
    return failed[0].get("errmsg") if failed else details.get("errmsg")


def refused(database: Database, err: PyMongoError, message: str) -> StoreError:
    """Build the error, in one line, of a write that the database refused.

    Parameters
    ----------
    database
        The database.
    err
        What the driver raised.
    message
        What could not be done.
    """
    reason = _reason(err)
    servers = ", ".join(f"{host}:{port}" for host, port in sorted(database.client.nodes))
    if isinstance(err, OperationFailure) and err.code == UNAUTHORIZED:
        return StoreError(
            f"database {database.name!r} at {servers} is read-only for this user ({reason}): "
            f"running a campaign needs the role readWrite on {database.name!r}"
        )
    if isinstance(err, NotPrimaryError):
        return StoreError(
            f"database {database.name!r} at {servers} is read-only: this server is not its "
            f"replica set's primary; give the URI of the whole set"
        )
    return StoreError(f"{message} of database {database.name!r}: {reason or type(err).__name__}")


def job_store(uri: str | None = None, database: str | None = None) -> JobStore:
    """Return jobflow's store on the same server.

    Outputs are in a collection, large arrays in GridFS under the name `data`.
    """
    from jobflow import JobStore

    from entropy_flows.store.job_stores import Arrays, Outputs

    name = database_name(uri, database)
    address = journaled(uri or configured_uri())
    return JobStore(
        Outputs.from_uri(address, collection_name=OUTPUTS, database=name),
        additional_stores={"data": Arrays.from_uri(address, collection_name=BLOBS, database=name)},
    )


class ConfiguredClient(MongoClient):
    """The client that launchers/FW_config.yaml names, so that a launchpad file needs no URI.

    The host ENTROPY_FLOWS_URI and the database ENTROPY_FLOWS_DATABASE stand for those of this
    machine's settings. Any other URI keeps its server, and is written to and read from as every
    other.
    """

    def __init__(self, host: str | None = None, *args: Any, **options: Any):
        uri = configured_uri() if host == URI_NAME else host
        if uri is not None and "://" in uri:
            _checked(uri)
            uri = journaled(uri)
        super().__init__(uri, *args, **options)

    def __getitem__(self, name: str) -> Database:
        return super().__getitem__(database_name() if name == DATABASE_NAME else name)


class ConfiguredJobStore:
    """The store that launchers/jobflow.yaml has jobflow take."""

    @classmethod
    def from_dict(cls, _: dict[str, Any]) -> JobStore:
        """Return the job store of this machine's settings."""
        return job_store()
