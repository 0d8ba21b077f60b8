"""One way to reach the database, for the collections, the job store and the launchpad alike.

Every connection asks for an acknowledged, journaled write: without the journal a killed server loses writes it has
acknowledged, and a workflow then fails on the missing output of a completed parent.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import ConfigurationError, InvalidURI, OperationFailure, PyMongoError

from entropy_flows.settings import settings

if TYPE_CHECKING:
    from fireworks import LaunchPad
    from jobflow import JobStore

TIMEOUT_MS = 10_000
OUTPUTS, BLOBS = "outputs", "blobs"


class StoreError(RuntimeError):
    """The database cannot be reached or refuses; the message never holds a password."""


def journaled(uri: str) -> str:
    """The URI with w=1&journal=true."""
    parts = urlsplit(uri)
    options = [option for option in parts.query.split("&") if option]  # as they are: some may be given several times
    kept = [option for option in options if not re.match("(j|journal)=|w=0$", option, re.IGNORECASE)]
    acknowledged = any(option.lower().startswith("w=") for option in kept)
    query = "&".join([*kept, *([] if acknowledged else ["w=1"]), "journal=true"])
    return urlunsplit((parts.scheme, parts.netloc, parts.path or "/", query, ""))


def without_password(uri: str) -> str:
    """The URI as it may be shown: its scheme and hosts; not even these where a password may be among them."""
    scheme, found, rest = uri.partition("://")
    if not found or not re.fullmatch(r"[\w+]+", scheme):
        scheme, rest = "", uri
    credentials, _, hosts = re.split("[/?#]", rest, maxsplit=1)[0].rpartition("@")
    return f"{scheme}://{hosts if rest.count('@') == bool(credentials) else '…'}"


def configured_uri() -> str:
    """The URI of this machine's settings.

    Raises
    ------
    StoreError
        If none is configured.
    """
    uri = settings().uri
    if uri is None:
        raise StoreError("no database is configured: set ENTROPY_FLOWS_URI=mongodb://…")
    return uri.get_secret_value()


def connect(uri: str | None = None, database: str | None = None, timeout_ms: int = TIMEOUT_MS) -> Database:
    """Connect and ping.

    Raises
    ------
    StoreError
        In one line, if the URI is malformed, nobody answers in time, or the credentials are refused.
    """
    uri = uri or configured_uri()
    try:
        client: MongoClient = MongoClient(
            journaled(uri), serverSelectionTimeoutMS=timeout_ms, connectTimeoutMS=timeout_ms, tz_aware=True
        )
        client.admin.command("ping")
    except (InvalidURI, ConfigurationError, ValueError) as err:
        raise StoreError(f"not a usable MongoDB URI ({without_password(uri)}): {type(err).__name__}") from None
    except OperationFailure as err:
        reason = (err.details or {}).get("errmsg", "refused")
        raise StoreError(f"MongoDB at {without_password(uri)} refused: {reason}") from None
    except PyMongoError as err:
        raise StoreError(
            f"MongoDB at {without_password(uri)} cannot be reached within {timeout_ms / 1000:g} s "
            f"({type(err).__name__}); is the server running and the port open?"
        ) from None
    return client[database or settings().database]


def job_store(uri: str | None = None, database: str | None = None) -> JobStore:
    """jobflow's store on the same server: outputs in a collection, large arrays in GridFS under the name `data`."""
    from jobflow import JobStore
    from maggma.stores.gridfs import GridFSStore
    from maggma.stores.mongolike import MongoStore

    address, name = journaled(uri or configured_uri()), database or settings().database
    return JobStore(
        MongoStore.from_uri(address, collection_name=OUTPUTS, database=name),
        additional_stores={"data": GridFSStore.from_uri(address, collection_name=BLOBS, database=name)},
    )


def launchpad(uri: str | None = None, database: str | None = None, logdir: str | None = None) -> LaunchPad:
    """FireWorks' launchpad on the same server."""
    from fireworks import LaunchPad

    address, name = journaled(uri or configured_uri()), database or settings().database
    return LaunchPad(host=address, name=name, uri_mode=True, logdir=logdir, strm_lvl="ERROR")
