"""Whether each document is what was written, field by field, and whether those are there that others speak of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from entropy_flows.store.connection import OUTPUTS
from entropy_flows.store.seals import KEYS, defects, link
from entropy_flows.store.subject import VerifyContext, VerifyResult

OWNER = {"campaigns": "name", OUTPUTS: "metadata.campaign"}
"""What says whose a document is, where it is not `campaign`."""
PROGRESS = "label.labelled has no seal"
"""A count of labels that are still being made."""


def seals(subject: VerifyContext) -> VerifyResult:
    """Every field of every document against the seal that was written with it."""
    problems: list[str] = []
    looked_at = 0
    for collection in KEYS:
        ours = {OWNER.get(collection, "campaign"): subject.store.name}
        for row in subject.store.database[collection].find(ours):
            looked_at += 1
            subject.progress(f"seals of {collection}", looked_at, looked_at)
            problems += [
                f"{_title(subject, collection, row)}: {line}" for line in _defects(collection, row)
            ]
    return VerifyResult("seals", looked_at, problems)


def _defects(collection: str, row: dict[str, Any]) -> list[str]:
    found = defects(collection, row)
    if collection == "iterations" and "failed" not in row.get("label", {}):
        return [line for line in found if not line.startswith(PROGRESS)]
    return found


def _title(subject: VerifyContext, collection: str, row: dict[str, Any]) -> str:
    """A document's collection and name."""
    entry = (
        subject.by_id.get(str(row.get("structure_id")))
        if collection in ("labels", "fingerprints")
        else None
    )
    named = entry or row
    if "position" in named and "key" in named:
        return f"{collection}, position {named['position']} ({named['key']})"
    names = (f"{field} {row.get(field)}" for field in KEYS[collection] if field != "campaign")
    return f"{collection}, {', '.join(names)}"


def chain(subject: VerifyContext) -> VerifyResult:
    """Each entry's digest against its content and the entry before; the head against what the covariances remember."""
    book = subject.ledger
    ours = {"campaign": subject.store.name}
    problems: list[str] = []
    digests: list[str] = []
    for row in book.structures.find(ours, {"position": 1, "key": 1, "seals": 1, "digest": 1}).sort(
        "position", 1
    ):
        if row.get("digest") != link(digests[-1] if digests else "", {"seals": {}, **row}):
            problems.append(
                f"position {row['position']} ({row['key']}): its digest is not that of it and those before"
            )
        digests.append(row.get("digest", ""))
    for row in book.covariances.find(ours, {"position": 1, "mode": 1, "ledger": 1}):
        place = row["position"]
        before = digests[place - 1] if 0 < place <= len(digests) else None
        if place <= len(digests) and row.get("ledger") != before:
            problems.append(
                f"covariance at position {place}, {row['mode']}: the ledger before it was another one"
            )
    return VerifyResult("chain", len(digests), problems)


def referred(subject: VerifyContext) -> VerifyResult:
    """What the jobs' outputs and the entries speak of: iterations, models, members and points."""
    store = subject.store
    iterations = {doc["iteration"] for doc in subject.iterations}
    ours = {"campaign": store.name}
    models = {
        row["reference"]
        for name in ("models", "members")
        for row in store.database[name].find(ours)
    }
    points = {(row["method"], row["size"], row["seed"]) for row in store.points()}
    wanted = {"metadata.campaign": store.name, "output": {"$type": "object"}}
    names = ("iteration", "model", "parent", "method", "size", "seed")
    found = list(
        store.database[OUTPUTS].find(
            wanted, {"name": 1, "uuid": 1, **{f"output.{n}": 1 for n in names}}
        )
    )
    problems = [
        f"output of {row['name']} ({row['uuid']}): {line}"
        for row in found
        for line in _missing(row["output"], iterations, models, points)
    ]
    return VerifyResult("referred to", len(found), problems)


def _missing(
    output: dict[str, Any],
    iterations: set[int],
    models: set[str],
    points: set[tuple[str, int, int]],
) -> Iterator[str]:
    """What an output speaks of and is not there."""
    if output.get("iteration") not in {None, *iterations}:
        yield f"iteration {output['iteration']} has no document"
    for name in ("model", "parent"):
        reference = output.get(name)
        if (
            isinstance(reference, str)
            and not reference.startswith("engine:")
            and reference not in models
        ):
            yield f"its {name} {reference[:20]}… is neither in models nor in members"
    if "method" in output and (output["method"], output["size"], output["seed"]) not in points:
        yield f"the point {output['method']}, {output['size']} cells, seed {output['seed']} is not there"


SEAL_CHECKS: tuple[Callable[[VerifyContext], VerifyResult], ...] = (seals, chain, referred)
