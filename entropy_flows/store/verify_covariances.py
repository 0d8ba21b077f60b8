"""Verify the covariances: each is whole, and the fold over the fingerprints before it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from itertools import groupby
from typing import Any

import numpy as np

from entropy_flows.entropy import MODES, SufficientStatistics
from entropy_flows.schemas.stages import IMPORT
from entropy_flows.store.connection import StoreError
from entropy_flows.store.exclusions import positions
from entropy_flows.store.ledger import Ledger
from entropy_flows.store.verify_context import VerifyContext, VerifyResult

SAMPLE = 500
"""Entries of a ledger whose covariances are always computed again."""
TOLERANCE = 1e-9
"""Relative difference that rounding explains."""


def covariances(context: VerifyContext) -> VerifyResult:
    """Check each covariance against its checksum and its fold.

    The fold over the fingerprints is made of a short ledger, or with `deep`.
    """
    book = context.ledger
    fields = {"position": 1, "exclusions": 1}
    rows = list(book.covariances.find(book.statistics_key(), fields))
    stored = Counter(row["position"] for row in rows)
    total = book.end()
    problems = [
        f"position {position}: beyond the ledger's end at {total}"
        for position in stored
        if position > total
    ]
    for _, position in stage_ends(context):
        left = stored[position]
        if left < len(MODES):
            problems.append(f"position {position}: {len(MODES)} were stored there, {left} are left")
    identifiers: dict[int, dict[int, list[Any]]] = {}
    for row in rows:
        by_position = identifiers.setdefault(row.get("exclusions", 0), {})
        by_position.setdefault(row["position"], []).append(row["_id"])
    checked = 0
    for count, by_position in identifiers.items():
        for position, folded in _folds(context, count, by_position):
            for identifier in by_position.get(position, []):
                row = book.covariances.find_one({"_id": identifier})
                if row is not None:
                    problems += _deviations(book, row, folded.get(row["mode"]))
                    checked += 1
    return VerifyResult("covariances", checked, problems)


def stage_ends(context: VerifyContext) -> Iterator[tuple[int, int]]:
    """Yield iterations and positions at which statistics were stored for sure.

    They are the ends of stages that were counted, or that another stage follows.
    """
    counted = {doc["iteration"]: doc for doc in context.iterations}
    groups = groupby(context.entries, key=lambda entry: (entry["iteration"], entry["stage"]))
    sizes = [(iteration, stage, sum(1 for _ in rows)) for (iteration, stage), rows in groups]
    start = 0
    for number, (iteration, stage, size) in enumerate(sizes, 1):
        doc = counted.get(iteration, {})
        entered = doc.get("import", {}).get("entered", 0)
        label_planned = "requested" in doc.get("label", {})
        counts = {**doc, **doc.get("top_up", {}), "anchor": label_planned}
        has_ended = counts.get(stage, False) is not False
        if stage == IMPORT and 0 < entered <= size:
            yield iteration, start + entered
        elif stage != IMPORT and (number < len(sizes) or has_ended):
            yield iteration, start + size
        start += size


def _folds(
    context: VerifyContext, count: int, stored: Collection[int]
) -> Iterator[tuple[int, dict[str, SufficientStatistics]]]:
    """Yield the statistics of the first 1, 2, … fingerprints, as far as these are finite.

    Of a long ledger nothing is computed, and the stored positions come without statistics.

    Parameters
    ----------
    context
        The campaign.
    count
        Number of rows of `exclusions` that count.
    stored
        Positions of stored covariances.
    """
    if not context.deep and len(context.entries) > SAMPLE:
        yield from ((position, {}) for position in sorted(stored))
        return
    book = context.ledger
    end = max(stored)
    excluded = positions(context.exclusions[:count])
    folded: dict[str, SufficientStatistics] = {
        mode: SufficientStatistics(book.fingerprint.dim, book.regularization, mode)
        for mode in MODES
    }
    arrays = iter(book.fingerprints_between(0, end))
    for position in range(1, end + 1):
        try:
            q = next(arrays)
            for statistics in folded.values():
                if position - 1 not in excluded:
                    statistics.add(q)
        except (StoreError, ValueError):
            # another check reports what is wrong with the fingerprint
            return
        context.progress("covariances", position, end)
        yield position, folded


def _deviations(
    book: Ledger, row: dict[str, Any], folded: SufficientStatistics | None
) -> Iterator[str]:
    title = f"position {row['position']}, {row['mode']}"
    try:
        stored = SufficientStatistics.from_bytes(book.arrays.get(row))
    except (StoreError, ValueError) as err:
        yield f"{title}: {err}"
        return
    if row["checksum"] != stored.checksum():
        yield f"{title}: its checksum is not that of its data"
    expected = row["n"] if folded is None else folded.n
    if not stored.n == row["n"] == expected:
        yield f"{title}: of {stored.n} vectors, by its document {row['n']}; there are {expected}"
    if folded is None:
        return
    components = np.union1d(stored.populated, folded.populated)
    mean, covariance = stored.moments(components)
    folded_mean, folded_covariance = folded.copy().moments(components)
    for name, value, reference in (
        ("mean", mean, folded_mean),
        ("covariance", covariance, folded_covariance),
        ("entropy", np.array(row["entropy"]), np.array(folded.copy().entropy())),
    ):
        largest = np.abs(reference).max(initial=folded.regularization)
        if not np.allclose(value, reference, rtol=TOLERANCE, atol=TOLERANCE * largest):
            difference = np.abs(value - reference).max()
            yield f"{title}: {name} differs by {difference:.1e} from the fold over the fingerprints"
