"""Every field of a campaign's documents, changed once: what `verify` sees and need not see."""

import copy
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
from bson import ObjectId
from pymongo.errors import DuplicateKeyError

from entropy_flows.launch.fireworks_manager import FireWorksManager
from entropy_flows.launch.verify import quick_checks
from entropy_flows.store import StoreError
from entropy_flows.store.seals import FREE
from entropy_flows.store.verify import run_check
from entropy_flows.store.verify_context import VerifyContext

GONE = object()
OURS = "FireWorks' own, and of a job that has ended nothing reads it"
OF_FILES = {
    "uploadDate": "when the file was written, for people",
    "filename": "not read: a file is found by what is in its metadata",
    "md5": "not written by this driver",
    "contentType": "not written by this package",
    "chunkSize": "the bytes are checked against their SHA-256, however they are cut",
    "metadata": "whatever is added to it is not read",
}
FREE_FIELDS: dict[str, dict[str, str]] = {
    **{name: {f"{field}.*": why for field, why in fields.items()} for name, fields in FREE.items()},
    "checks": {"campaign": "a check that is gone is made again by the next `physics`"},
    "replays": {"campaign": "cells that are gone are made again by the next training"},
    "equations": {"campaign": "an equation that is gone is fitted again by the next exploration"},
    "predictions": {"campaign": "without them a report says that it cannot show the cells"},
    "failures": {"campaign": "a failure is deleted when its job is run again"},
    "approvals": {"campaign": "the job that waits for a cell says so if its row is gone"},
    **dict.fromkeys(("blobs.files", "models.files", "arrays.files"), OF_FILES),
    "fireworks": dict.fromkeys(
        ("created_on.*", "updated_on.*", "name.*", "spec.*", "archived_launches"), OURS
    ),
    "workflows": dict.fromkeys(
        ("created_on.*", "updated_on.*", "name.*", "metadata.*", "state.*"), OURS
    ),
    "launches": dict.fromkeys(
        (
            "action.*",
            "fworker.*",
            "host.*",
            "ip.*",
            "launch_dir.*",
            "runtime_secs.*",
            "reservedtime_secs.*",
            "state_history.*",
            "time_start.*",
            "time_end.*",
            "time_reserved.*",
            "trackers.*",
        ),
        OURS,
    ),
    "fw_id_assigner": dict.fromkeys(("next_fw_id.*", "next_launch_id.*"), OURS),
}
"""Collection → field → why its change is not a fault, where it is not seen."""


class Mutation(NamedTuple):
    """A change of one document."""

    collection: str
    identifier: Any
    path: tuple[str, ...]
    kind: str

    def __str__(self) -> str:
        return f"{self.collection}: {'.'.join(self.path)} {self.kind}"


def mutations(
    database: Any, collections: list[str], depth: int = 99
) -> Iterator[tuple[Mutation, dict[str, Any]]]:
    """A change of each field, and its deletion: once for each path, in its first document.

    Fields within fields down to a depth: a seal covers all that is below it.
    """
    for collection in collections:
        seen: set[tuple[str, ...]] = set()
        for row in list(database[collection].find()):
            for path in _paths(row):
                if path in seen or path[0] in ("_id", "seals") or len(path) > depth:
                    continue
                seen.add(path)
                for kind, value in (("changed", _changed(_at(row, path))), ("deleted", GONE)):
                    yield Mutation(collection, row["_id"], path, kind), _with(row, path, value)


def missed(store: Any, pad: Any, alternate: bool = False) -> list[str]:
    """Return the changes that `verify` does not name, without a reason.

    All fields are changed and deleted, or, to save time, one is changed and the next one deleted.
    The check that named the last change of a collection is asked first about the next one, so that
    most changes cost one check.
    """
    collections = sorted(
        name for name in store.database.list_collection_names() if not name.startswith("system.")
    )
    checks: dict[str, list[Any]] = {}
    unnamed = []
    cases = [
        case for case in mutations(store.database, collections, depth=2) if reason(case[0]) is None
    ]
    # a field's two cases follow each other: 0, 3, 4, 7, … are each field's one, by turns
    chosen = [cases[n] for n in range(len(cases)) if not alternate or n % 4 in (0, 3)]
    for mutation, spoiled in chosen:
        order = checks.setdefault(mutation.collection, list(quick_checks(FireWorksManager(pad))))
        line = outcome(store, pad, mutation, spoiled, order)
        if line is None:
            unnamed.append(str(mutation))
        else:
            order.sort(key=lambda check, line=line: not line.startswith(f"{check.__name__}: "))
    return unnamed


def outcome(
    store: Any,
    pad: Any,
    mutation: Mutation,
    spoiled: dict[str, Any],
    checks: list[Any] | None = None,
) -> str | None:
    """The line in which `verify` names a change; None if it does not. All is put back."""
    collection = store.database[mutation.collection]
    before = collection.find_one({"_id": mutation.identifier})
    try:
        collection.replace_one({"_id": mutation.identifier}, spoiled)
        return next(lines(store, pad, checks), None)
    except DuplicateKeyError:
        return "refused by a unique index"
    finally:
        collection.replace_one({"_id": mutation.identifier}, before)


def lines(store: Any, pad: Any, checks: list[Any] | None = None) -> Iterator[str]:
    """Yield the problems that checks find, in their order; None takes all quick checks."""
    manager = FireWorksManager(pad)
    subject = VerifyContext(store, manager.job_uuids(store.name))
    for check in checks or quick_checks(manager):
        try:
            yield from (f"{check.__name__}: {line}" for line in run_check(check, subject).problems)
        except StoreError as err:  # every command says so and ends
            yield f"{check.__name__}: {err}"


def reason(mutation: Mutation) -> str | None:
    """Why a change need not be seen."""
    table = FREE_FIELDS.get(mutation.collection, {})
    return table.get(".".join(mutation.path)) or table.get(f"{mutation.path[0]}.*")


def _paths(value: Any, before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Paths of all fields; of a list, those of its first item."""
    if before:
        yield before
    items = (
        value.items()
        if isinstance(value, dict)
        else [("0", value[0])]
        if isinstance(value, list) and value
        else ()
    )
    for name, item in items:
        yield from _paths(item, (*before, name))


def _at(row: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        row = row[int(name)] if isinstance(row, list) else row[name]
    return row


def _with(row: dict[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    spoiled = copy.deepcopy(row)
    inner = _at(spoiled, path[:-1])
    name = int(path[-1]) if isinstance(inner, list) else path[-1]
    if value is GONE:
        del inner[name]
    else:
        inner[name] = value
    return spoiled


def _changed(value: Any) -> Any:
    """The least change of a value."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, float):
        return float(np.nextafter(value, np.inf)) if np.isfinite(value) else 0.0
    if isinstance(value, int):
        return value + 1
    if isinstance(value, str):
        return value[:-1] + ("y" if value[-1:] == "x" else "x")
    if isinstance(value, bytes):
        return bytes([value[0] ^ 1]) + value[1:]
    if isinstance(value, datetime):
        return value + timedelta(milliseconds=1)
    if isinstance(value, ObjectId):
        return ObjectId()
    if isinstance(value, list):
        return [*value, value[-1] if value else 1]
    if isinstance(value, dict):
        return {**value, "more": 1}
    return 1
