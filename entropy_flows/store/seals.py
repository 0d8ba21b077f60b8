"""Seals: what a field was when it was written, so that verify can tell whether it still is.

    seal(f)  = first 16 hex digits of SHA-256 of (what names the document, the path of f, f)
    chain(n) = SHA-256 of (chain(n − 1), the seals of the ledger's entry n)

A document keeps its seals in `seals`, under the same names as its fields; a mapping is sealed item
by item. A field that is set later is sealed by whoever sets it. All that a campaign stores is
written by the functions here, or sealed by them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pymongo.collection import Collection

from entropy_flows.digest import digest
from entropy_flows.store.fence import Fence, literal, merge, nested

SEALS = "seals"
LENGTH = 16
KEYS: dict[str, tuple[str, ...]] = {
    "campaigns": ("name",),
    "structures": ("campaign", "key"),
    "fingerprints": ("structure_id", "fingerprint_hash"),
    "covariances": ("campaign", "mode", "fingerprint_hash", "regularization", "position"),
    "bases": ("campaign", "basis"),
    "targets": ("campaign", "iteration"),
    "precisions": ("campaign", "basis", "position"),
    "labels": ("campaign", "key"),  # not the engine: a cell has one split, whoever labelled it
    "models": ("campaign", "iteration"),
    "members": ("campaign", "iteration", "member"),
    "versions": ("campaign", "iteration", "version"),
    "replays": ("campaign", "replay_hash"),
    "equations": ("campaign", "model", "cell_hash"),
    "predictions": ("campaign", "iteration", "version"),
    "iterations": ("campaign", "iteration"),
    "points": ("campaign", "method", "size", "seed"),
    "checks": ("campaign", "model", "check", "phase", "check_hash"),
    "failures": ("campaign", "uuid"),
    "exclusions": ("campaign", "number"),
    "approvals": ("campaign", "key"),
    "outputs": ("uuid", "index"),
}
"""Fields that name a document of each sealed collection."""
WHOLE = ("outputs",)
"""Collections whose fields are sealed as a whole: jobflow takes mappings with names of its own
for its references.
"""
FREE: dict[str, dict[str, str]] = {
    "campaigns": {
        "schema": "any other number is refused by every command",
        "updated": "when the state was last set, for people",
        "submitted": "keeps two processes from submitting at one moment",
    },
    "structures": {"digest": "the chain, which is followed from entry to entry"},
    "iterations": {
        "updated": "when it was last written, for people",
        "seconds": "wall times, for people: nothing follows from them",
    },
}
"""Collection → path → why it has no seal."""


def sealed(name: str, document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document of a collection with its seals, as it is to be written."""
    return {**document, SEALS: _seals(name, document, document)}


def setting(name: str, key: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `$set` takes to set some fields of a document with their seals.

    Parameters
    ----------
    name
        Collection.
    key
        At least the fields that name the document.
    fields
        Path, of a field or of an item of one, → value.
    """
    return {
        **fields,
        **{f"{SEALS}.{path}": seal for path, seal in _seals(name, key, fields).items()},
    }


def link(before: str, entry: Mapping[str, Any]) -> str:
    """Return the digest of the ledger up to an entry, given that of all before it.

    The digests are a chain that no entry can leave. A stage that is run again after it was
    interrupted writes the same entries at another time, so that is left out.
    """
    return digest(
        [before, {path: seal for path, seal in entry[SEALS].items() if path != "created"}]
    )


def insert_once(collection: Collection, key: Mapping[str, Any], body: Mapping[str, Any]) -> None:
    """Write a document unless there is one of this key: the first one written stays."""
    insert_each_once(collection, tuple(key), [{**body, **key}])


def insert_each_once(
    collection: Collection, key: Sequence[str], documents: Iterable[Mapping[str, Any]]
) -> None:
    """Write documents, each unless there is one with the same values of the fields of the key."""
    merge(collection, [sealed(collection.name, document) for document in documents], on=key)


def replace(collection: Collection, key: Mapping[str, Any], body: Mapping[str, Any]) -> None:
    """Write a document, in place of one of this key."""
    merge(collection, [sealed(collection.name, {**body, **key})], on=tuple(key), matched="replace")


def set_fields(
    collection: Collection,
    key: Mapping[str, Any],
    fields: Mapping[str, Any],
    unmatched: str = "discard",
    lease: Fence | None = None,
    silent: bool = False,
) -> None:
    """Set fields of the document of this key.

    Parameters
    ----------
    collection, key
        Where the document is.
    fields
        Path → value.
    unmatched
        "insert" makes a document where there is none, "discard" does not.
    lease
        Lease without which nothing is set.
    silent
        As of `fence.merge`.
    """
    update = setting(collection.name, key, fields)
    new = nested({**setting(collection.name, key, key), **update})
    merge(
        collection,
        [new],
        on=tuple(key),
        matched=[{"$set": literal(update)}],
        unmatched=unmatched,
        lease=lease,
        silent=silent,
    )


def set_each(
    collection: Collection,
    updates: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]],
    first_stays: bool = False,
) -> None:
    """Set fields of some documents in one request.

    Parameters
    ----------
    collection
        Where the documents are.
    updates
        Document, with at least its `_id` and its key, and field → value, for each.
    first_stays
        Leave fields that are set already.
    """
    settings = [setting(collection.name, document, fields) for document, fields in updates]
    rows = [
        {"_id": document["_id"], **nested(fields)}
        for (document, _), fields in zip(updates, settings, strict=True)
    ]
    new = {}
    for path in {path for fields in settings for path in fields}:
        value = f"$$new.{path}"
        new[path] = {"$ifNull": [f"${path}", value]} if first_stays else value
    merge(collection, rows, matched=[{"$set": new}], unmatched="discard")


def defects(name: str, document: Mapping[str, Any]) -> list[str]:
    """Return what of a document is not as it was written.

    A line for each field; one line alone if it is all of them.
    """
    if missing := [field for field in KEYS[name] if field not in document]:
        return [f"has no {', '.join(missing)}"]
    seals = dict(_leaves(name, document.get(SEALS) or {}))
    lines = []
    n_whole = 0
    for path, value in _leaves(name, document):
        seal = seals.pop(path, None)
        if seal is None:
            lines.append(f"{path} has no seal: it was not written by entropy-flows")
        elif seal != _seal(name, document, path, value):
            lines.append(f"{path} is not what was written")
        else:
            n_whole += 1
    lines += [f"{path} is gone, its seal is there" for path in seals]
    if len(lines) > 1 and not n_whole:
        return [
            f"its seals are gone, or those of a document with another {' or '.join(KEYS[name])}"
        ]
    return lines


def _seals(name: str, key: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the seals under the names of the fields."""
    free = FREE.get(name, {})
    seals: dict[str, Any] = {}
    for path, value in fields.items():
        if path in ("_id", SEALS) or path.split(".")[0] in free:
            continue
        if _is_divided(name, value) and "." not in path:
            seals[path] = {
                item: _seal(name, key, f"{path}.{item}", content) for item, content in value.items()
            }
        else:
            seals[path] = _seal(name, key, path, value)
    return seals


def _leaves(name: str, document: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield path and value of all that has a seal, or of the seals."""
    for field, value in document.items():
        if field in ("_id", SEALS) or field in FREE.get(name, {}):
            continue
        if _is_divided(name, value):
            yield from ((f"{field}.{item}", content) for item, content in value.items())
        else:
            yield field, value


def _is_divided(name: str, value: Any) -> bool:
    """Tell whether a field is sealed item by item."""
    return isinstance(value, dict) and bool(value) and name not in WHOLE


def _seal(name: str, key: Mapping[str, Any], path: str, value: Any) -> str:
    identity = [key[field] for field in KEYS[name]]
    return digest([name, identity, path, value])[:LENGTH]
