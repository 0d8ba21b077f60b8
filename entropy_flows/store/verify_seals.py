"""Verify each document field by field, the ledger's chain, and what documents refer to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from entropy_flows.store.connection import OUTPUTS
from entropy_flows.store.seals import KEYS, defects, link
from entropy_flows.store.verify_context import Check, VerifyContext, VerifyResult, entry_title

OWNER = {"campaigns": "name", OUTPUTS: "metadata.campaign"}
"""Field with the campaign's name, where it is not `campaign`."""
REFERENCES = ("iteration", "model", "parent", "method", "size", "seed")
"""Fields of an output that name other documents."""
PROGRESS = "label.labelled has no seal"
"""Defect of a count of labels that are still being made, which is none."""


def seals(context: VerifyContext) -> VerifyResult:
    """Check every field of every document against the seal that was written with it."""
    problems: list[str] = []
    checked = 0
    for collection in KEYS:
        ours = {OWNER.get(collection, "campaign"): context.store.name}
        for row in context.store.database[collection].find(ours):
            checked += 1
            context.progress(f"seals of {collection}", checked, checked)
            problems += [
                f"{_title(context, collection, row)}: {line}" for line in _defects(collection, row)
            ]
    return VerifyResult("seals", checked, problems)


def _defects(collection: str, row: dict[str, Any]) -> list[str]:
    lines = defects(collection, row)
    if collection == "iterations" and "failed" not in row.get("label", {}):
        return [line for line in lines if not line.startswith(PROGRESS)]
    return lines


def _title(context: VerifyContext, collection: str, row: dict[str, Any]) -> str:
    """Return the collection and name of a document."""
    entry = None
    if collection in ("labels", "fingerprints"):
        entry = context.by_id.get(str(row.get("structure_id")))
    named = entry or row
    if "position" in named and "key" in named:
        return f"{collection}, {entry_title(named)}"
    names = (f"{field} {row.get(field)}" for field in KEYS[collection] if field != "campaign")
    return f"{collection}, {', '.join(names)}"


def chain(context: VerifyContext) -> VerifyResult:
    """Check each entry's digest, and the digests that the covariances have of the ledger."""
    book = context.ledger
    campaign = {"campaign": context.store.name}
    problems: list[str] = []
    digests: list[str] = []
    fields = {"position": 1, "key": 1, "seals": 1, "digest": 1}
    for row in book.structures.find(campaign, fields).sort("position", 1):
        before = digests[-1] if digests else ""
        if row.get("digest") != link(before, {"seals": {}, **row}):
            problems.append(f"{entry_title(row)}: its digest is not that of it and those before")
        digests.append(row.get("digest", ""))
    for row in book.covariances.find(campaign, {"position": 1, "mode": 1, "ledger": 1}):
        position = row["position"]
        last = digests[position - 1] if 0 < position <= len(digests) else None
        if position <= len(digests) and row.get("ledger") != last:
            problems.append(
                f"covariance at position {position}, {row['mode']}: "
                f"the ledger before it was another one"
            )
    return VerifyResult("chain", len(digests), problems)


def referred(context: VerifyContext) -> VerifyResult:
    """Check that the iterations, models, members and points exist that outputs refer to."""
    store = context.store
    campaign = {"campaign": store.name}
    iterations = {document["iteration"] for document in context.iterations}
    models: set[str] = set()
    for collection in ("models", "members", "versions"):
        models.update(row["reference"] for row in store.database[collection].find(campaign))
    points = {(row["method"], row["size"], row["seed"]) for row in store.points()}
    fields = ["name", "uuid", *(f"output.{name}" for name in REFERENCES)]
    query = {"metadata.campaign": store.name, "output": {"$type": "object"}}
    rows = list(store.database[OUTPUTS].find(query, dict.fromkeys(fields, 1)))
    problems = [
        f"output of {row['name']} ({row['uuid']}): {line}"
        for row in rows
        for line in _missing(row["output"], iterations, models, points)
    ]
    return VerifyResult("referred to", len(rows), problems)


def _missing(
    output: dict[str, Any],
    iterations: set[int],
    models: set[str],
    points: set[tuple[str, int, int]],
) -> Iterator[str]:
    """Yield what an output refers to and is not in the database."""
    if output.get("iteration") not in {None, *iterations}:
        yield f"iteration {output['iteration']} has no document"
    for name in ("model", "parent"):
        reference = output.get(name)
        if not isinstance(reference, str) or reference.startswith("engine:"):
            continue
        if reference not in models:
            yield f"its {name} {reference[:20]}… is neither in models nor in members"
    if "method" in output:
        point = (output["method"], output["size"], output["seed"])
        if point not in points:
            yield f"the point {point[0]}, {point[1]} cells, seed {point[2]} is not there"


SEAL_CHECKS: tuple[Check, ...] = (seals, chain, referred)
