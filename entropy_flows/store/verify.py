"""Verify that everything a campaign has stored fits together.

    statistics(n) = fold of `add` over the fingerprints at positions 0 … n − 1 that are not excluded
    fingerprints  = fingerprint(structure)

Nothing is changed. A check is a function of a `VerifyContext` that returns a `VerifyResult`, in one
of the lists of checks. The checks here are of the ledger and its statistics.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
from pymatgen.core import Structure

from entropy_flows.conventions import Array
from entropy_flows.digest import bytes_sha256
from entropy_flows.geometry import to_atoms
from entropy_flows.schemas.stages import LEDGER_STAGES
from entropy_flows.store.arrays import unpack
from entropy_flows.store.connection import StoreError
from entropy_flows.store.entry import structure_id
from entropy_flows.store.ledger import Ledger
from entropy_flows.store.verify_approvals import APPROVAL_CHECKS
from entropy_flows.store.verify_context import Check, VerifyContext, VerifyResult, entry_title
from entropy_flows.store.verify_covariances import covariances
from entropy_flows.store.verify_deep import DEEP_CHECKS
from entropy_flows.store.verify_exclusions import EXCLUSION_CHECKS
from entropy_flows.store.verify_files import FILE_CHECKS
from entropy_flows.store.verify_labels import LABEL_CHECKS
from entropy_flows.store.verify_predictions import PREDICTION_CHECKS
from entropy_flows.store.verify_seals import SEAL_CHECKS
from entropy_flows.store.verify_targets import TARGET_CHECKS

SAMPLE = 500
"""Fingerprints that are computed again unless all are asked for."""
CELL_BATCH = 64
"""Cells whose fingerprints are computed in one call."""
TOLERANCE = 1e-9
"""Relative difference that rounding explains."""


def run_check(check: Check, context: VerifyContext) -> VerifyResult:
    """Run a check; a document that it cannot make sense of is a problem of its own."""
    try:
        return check(context)
    except (LookupError, TypeError, AttributeError, ValueError) as err:
        problem = f"a document is not of the form it should be: {type(err).__name__}: {err}"
        return VerifyResult(check.__name__, 0, [problem])


def ledger(context: VerifyContext) -> VerifyResult:
    """Check for positions without gaps, unique keys, their identifiers, and the stages' order."""
    problems = []
    keys: set[str] = set()
    expected = 0
    last_stage = (0, 0)
    for entry in context.entries:
        title = entry_title(entry)
        stage, rank = entry["stage"], entry["rank"]
        if entry["position"] != expected:
            problems.append(f"{title}: {expected} was expected")
        if entry["key"] in keys:
            problems.append(f"{title}: the key is there twice")
        if entry["_id"] != structure_id(context.store.name, entry["key"]):
            problems.append(f"{title}: its identifier does not follow from its key")
        if stage not in LEDGER_STAGES or rank != LEDGER_STAGES.index(stage):
            problems.append(f"{title}: stage {stage!r} with rank {rank}")
        if (entry["iteration"], rank) < last_stage:
            problems.append(f"{title}: iteration {entry['iteration']}, {stage} after a later stage")
        expected = entry["position"] + 1
        last_stage = (entry["iteration"], rank)
        keys.add(entry["key"])
    return VerifyResult("ledger", len(context.entries), problems)


def fingerprints(context: VerifyContext) -> VerifyResult:
    """Check that each entry has one fingerprint, at its position, whole and finite."""
    book = context.ledger
    fingerprint_hash = book.fingerprint.fingerprint_hash
    counts = Counter[str]()
    problems: list[str] = []
    wasted: list[str] = []
    campaign = {"campaign": context.store.name}
    rows = book.fingerprints.find({**campaign, "fingerprint_hash": fingerprint_hash})
    for number, row in enumerate(rows.sort("position", 1)):
        context.progress("fingerprints", number, len(context.entries))
        counts[row["structure_id"]] += 1
        entry = context.by_id.get(row["structure_id"])
        if entry is None:
            wasted.append(f"fingerprint at position {row['position']} belongs to no entry")
        else:
            problems += _defects(row, entry, context.ledger)
    for entry in context.entries:
        if not counts[entry["_id"]]:
            problems.append(f"{entry_title(entry)}: no fingerprint")
    for identifier, n in counts.items():
        if n > 1:
            problems.append(f"{entry_title(context.by_id[identifier])}: {n} fingerprints")
    others = {**campaign, "fingerprint_hash": {"$ne": fingerprint_hash}}
    count = book.fingerprints.count_documents(others)
    if count:
        wasted.append(f"{count} fingerprints of other settings than the campaign's")
    wasted += [
        f"array {name}: no document names it; the next append deletes it"
        for name in book.arrays.unused()
    ]
    return VerifyResult("fingerprints", counts.total(), problems, wasted)


def _defects(row: dict[str, Any], entry: dict[str, Any], book: Ledger) -> Iterator[str]:
    if row["position"] != entry["position"]:
        yield f"{entry_title(entry)}: its fingerprint says position {row['position']}"
    expected = [entry["n_atoms"], book.fingerprint.dim]
    try:
        data = book.arrays.get(row)
        if bytes_sha256(data) != row["sha256"]:
            yield f"{entry_title(entry)}: its fingerprint does not have its checksum"
        if row["sha256"] != entry.get("fingerprint"):
            yield f"{entry_title(entry)}: its fingerprint is not the one that it was written with"
        q = unpack(data, (expected[0], expected[1]))
    except (StoreError, ValueError) as err:
        yield f"{entry_title(entry)}: fingerprint: {err}"
        return
    if row["shape"] != expected:
        yield f"{entry_title(entry)}: fingerprint of shape {row['shape']}, expected {expected}"
    elif not np.isfinite(q).all():
        yield f"{entry_title(entry)}: fingerprint is not finite"


def recomputed(context: VerifyContext) -> VerifyResult:
    """Compute the structures' fingerprints again, and compare them with the stored ones."""
    ids = [entry["_id"] for entry in context.entries]
    if len(ids) > SAMPLE and not context.deep:
        chosen = np.random.default_rng(0).choice(len(ids), SAMPLE, replace=False)
        ids = [ids[index] for index in np.sort(chosen)]
    problems: list[str] = []
    for start in range(0, len(ids), CELL_BATCH):
        context.progress("recomputed", start, len(ids))
        problems += _differences(context, ids[start : start + CELL_BATCH])
    return VerifyResult("recomputed", len(ids), problems)


def _differences(context: VerifyContext, ids: list[str]) -> Iterator[str]:
    book = context.ledger
    query = {"structure_id": {"$in": ids}, "fingerprint_hash": book.fingerprint.fingerprint_hash}
    rows = {row["structure_id"]: row for row in book.fingerprints.find(query)}
    cells = list(book.structures.find({"_id": {"$in": ids}}, {"structure": 1}))
    computed = book.fingerprint(
        [to_atoms(Structure.from_dict(cell["structure"])) for cell in cells]
    )
    for cell, q in zip(cells, computed, strict=True):
        entry = context.by_id[cell["_id"]]
        stored = _readable(book, rows.get(cell["_id"]))
        if stored is not None and stored.shape == q.shape and np.isfinite(stored).all():
            error = np.abs(stored - q).max() / max(1.0, np.abs(q).max())
            if not error <= TOLERANCE:
                title = entry_title(entry)
                yield f"{title}: fingerprint differs by {error:.1e} from the structure's"


def _readable(book: Ledger, row: dict[str, Any] | None) -> Array | None:
    """Read a document's fingerprints, or return None: `fingerprints` reports what is damaged."""
    try:
        return None if row is None else book.array_of(row)
    except (StoreError, ValueError):
        return None


LEDGER_CHECKS: tuple[Check, ...] = (
    ledger,
    fingerprints,
    recomputed,
    covariances,
)
CHECKS = (
    *SEAL_CHECKS,
    *LEDGER_CHECKS,
    *TARGET_CHECKS,
    *EXCLUSION_CHECKS,
    *APPROVAL_CHECKS,
    *LABEL_CHECKS,
    *PREDICTION_CHECKS,
    *FILE_CHECKS,
)
"""What every check looks at; `launch.verify` runs these and the workflow manager's."""

__all__ = ["CHECKS", "DEEP_CHECKS", "run_check"]
