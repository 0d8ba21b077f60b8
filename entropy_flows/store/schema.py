"""The version of the stored documents: their indexes, and who may work with them.

    1    a failed stage was a field of its iteration's document, its job FIZZLED
    2    a failed stage is a row of `failures`; each job carries its uuid, by which it is found
    3    seals and the ledger's chain; fingerprints and covariances over their populated components
    4    `engine_hash`, `fingerprint_hash`, `check_hash` and `structure_id` say what they are

Until 1.0 there is one version and no way from an older one: a campaign of another version is
refused by every command and worker, and goes on with the package that began it, or begins anew
under another name.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from packaging.version import Version
from pymongo import ASCENDING, IndexModel
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError, NotPrimaryError, OperationFailure

from entropy_flows.store.arrays import ARRAYS
from entropy_flows.store.connection import BLOBS, OUTPUTS, StoreError, refused

SCHEMA = 4
PACKAGE = "entropy_flows"

INDEX_IN_THE_WAY = (85, 86)
"""MongoDB's codes of an index that there is with other options, or with other keys under its
name.
"""

Indexes = dict[str, list[tuple[str, ...]]]
UNIQUE: Indexes = {
    "campaigns": [("name",)],
    "structures": [("campaign", "key"), ("campaign", "position")],
    "fingerprints": [("structure_id", "fingerprint_hash")],
    "covariances": [("campaign", "mode", "fingerprint_hash", "regularization", "position")],
    "bases": [("campaign", "basis")],
    "targets": [("campaign", "iteration")],
    "precisions": [("campaign", "basis", "position")],
    "labels": [("structure_id", "engine_hash")],
    "models": [("campaign", "iteration")],
    "members": [("campaign", "iteration", "member")],
    "versions": [("campaign", "iteration", "version")],
    "replays": [("campaign", "replay_hash")],
    "equations": [("campaign", "model", "cell_hash")],
    "predictions": [("campaign", "iteration", "version")],
    "iterations": [("campaign", "iteration")],
    "failures": [("campaign", "uuid")],
    "exclusions": [("campaign", "number")],
    "approvals": [("campaign", "key")],
    "points": [("campaign", "method", "size", "seed")],
    "checks": [("campaign", "model", "check", "phase", "check_hash")],
    f"{ARRAYS}.chunks": [("files_id", "n")],
    OUTPUTS: [("uuid", "index")],
}
LOOKUP: Indexes = {
    "structures": [
        ("campaign", "iteration", "stage"),
        ("campaign", "stage", "iteration"),
        ("elements",),
    ],
    "fingerprints": [("campaign", "fingerprint_hash", "position"), ("campaign", "file")],
    "covariances": [("campaign", "file")],
    "bases": [("campaign", "file")],
    "targets": [("campaign", "file")],
    "precisions": [("campaign", "file")],
    f"{ARRAYS}.files": [("metadata.campaign",)],
    "labels": [
        ("campaign", "key"),
        ("campaign", "converged"),
        ("campaign", "position"),
        ("elements", "pressure"),
        ("content", "engine_hash"),
    ],
    "approvals": [("campaign", "job_uuid")],
    "fireworks": [("spec.campaign", "state"), ("spec.uuid",)],
    f"{BLOBS}.files": [("metadata.blob_uuid",)],
}


class OldWorkerError(StoreError):
    """The package here is older than the one that last submitted the campaign."""


def make_indexes(database: Database) -> None:
    """Make sure that the indexes exist; what they forbid cannot be written from then on.

    One that somebody else has made with other options is left as it is where it serves: jobflow's
    own stores make some.

    Raises
    ------
    StoreError
        If the database does not let them be made, for instance because it is read-only for this
        user, or because an index is in the way.
    """
    try:
        existing = set(database.list_collection_names())
        for name in {**UNIQUE, **LOOKUP}:
            present = database[name].index_information() if name in existing else {}
            _make_missing(database[name], present)
    except (OperationFailure, NotPrimaryError) as err:
        raise refused(database, err, "cannot prepare the collections") from None


def _make_missing(collection: Collection, present: Mapping[str, Any]) -> None:
    """Make the indexes of a collection for which none of those that are there serves."""
    required = [(keys, True) for keys in UNIQUE.get(collection.name, ())]
    required += [(keys, False) for keys in LOOKUP.get(collection.name, ())]
    missing = [
        (keys, unique)
        for keys, unique in required
        if not any(serves(index, keys, unique) for index in present.values())
    ]
    if not missing:
        return
    models = [
        IndexModel(_columns(keys), unique=unique, name=_free_name(keys, present))
        for keys, unique in missing
    ]
    try:
        collection.create_indexes(models)
    except OperationFailure:
        # one by one they say which of them is refused
        for keys, unique in missing:
            _make_index(collection, keys, present, unique)


def serves(index: Mapping[str, Any], keys: tuple[str, ...], unique: bool) -> bool:
    """Tell whether an index serves for these keys.

    Parameters
    ----------
    index
        As `index_information` describes it.
    keys
        Fields, in their order.
    unique
        Whether it must keep documents from being written twice.
    """
    if [name for name, _ in index["key"]] != list(keys) or any(
        way not in (1, -1) for _, way in index["key"]
    ):
        return False
    if any(index.get(option) for option in ("sparse", "partialFilterExpression", "hidden")):
        return False
    # another collation takes other strings for equal
    if index.get("collation", {}).get("locale", "simple") != "simple":
        return False
    return bool(index.get("unique")) or not unique


def _columns(keys: tuple[str, ...]) -> list[tuple[str, int]]:
    return [(key, ASCENDING) for key in keys]


def _usual_name(keys: tuple[str, ...]) -> str:
    """Return the name that MongoDB gives an index."""
    return "_".join(f"{key}_{ASCENDING}" for key in keys)


def _free_name(keys: tuple[str, ...], present: Mapping[str, Any]) -> str:
    """Return a name for an index that no other one has."""
    usual = _usual_name(keys)
    return f"entropy_flows_{usual}" if usual in present else usual


def _make_index(
    collection: Collection, keys: tuple[str, ...], present: Mapping[str, Any], unique: bool
) -> None:
    """Make an index; one of the same name or keys may be in the way."""
    try:
        collection.create_index(_columns(keys), unique=unique, name=_free_name(keys, present))
    except DuplicateKeyError:
        raise StoreError(
            f"collection {collection.name!r} has several documents of the same {', '.join(keys)}, "
            f"where there may be one: keep the right one of each, or use another database"
        ) from None
    except OperationFailure as err:
        if err.code not in INDEX_IN_THE_WAY:
            raise
        same = (name for name, index in present.items() if dict(index["key"]).keys() == set(keys))
        other = next(same, _usual_name(keys))
        kind = "unique index" if unique else "index"
        raise StoreError(
            f"collection {collection.name!r} has an index {other!r} that keeps the {kind} over "
            f"{', '.join(keys)} from being made: drop it in mongosh by "
            f"db.getCollection({collection.name!r}).dropIndex({other!r})"
        ) from None


def require_current(document: dict[str, Any]) -> None:
    """Refuse a campaign whose documents are of another version.

    Raises
    ------
    StoreError
        If it is an older one.
    OldWorkerError
        If it is a newer one.
    """
    _refuse_newer_schema(document)
    stored = document.get("schema", 1)
    if stored < SCHEMA:
        raise StoreError(
            f"campaign {document['name']!r} was written by an older {PACKAGE} (schema {stored}, "
            f"this one needs {SCHEMA}); go on with that version, or give the campaign a new name "
            f"and import its labels"
        )


def refuse_old_worker(document: dict[str, Any]) -> None:
    """Refuse to work on a campaign that a newer package has submitted or continued.

    Raises
    ------
    OldWorkerError
        Naming both versions.
    """
    installed = version(PACKAGE)
    submitted = document["versions"][PACKAGE]
    if Version(installed) < Version(submitted):
        raise OldWorkerError(
            f"campaign {document['name']!r} was last submitted with {PACKAGE} {submitted} "
            f"and this is {installed}; upgrade this one"
        )
    _refuse_newer_schema(document)


def _refuse_newer_schema(document: dict[str, Any]) -> None:
    stored = document.get("schema", 1)
    if stored > SCHEMA:
        raise OldWorkerError(
            f"campaign {document['name']!r} was written by a newer {PACKAGE} (schema {stored}, "
            f"this one knows {SCHEMA}); upgrade this one"
        )
