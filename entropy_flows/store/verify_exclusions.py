"""Verify what was excluded: each row is of an entry, and each iteration knows what counted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from entropy_flows.store.exclusions import STATISTICS, TRAINING
from entropy_flows.store.verify_context import Check, VerifyContext, VerifyResult, entry_title


def exclusions(context: VerifyContext) -> VerifyResult:
    """Check the rows' numbers and entries, and the numbers of rows that iterations went by."""
    rows = context.exclusions
    problems: list[str] = []
    excluded: set[str] = set()
    for number, row in enumerate(rows):
        title = f"exclusion {row['number']} ({row['key']})"
        if row["number"] != number:
            problems.append(f"{title}: number {number} was expected")
        entry = context.by_id.get(row["structure_id"])
        if entry is None:
            problems.append(f"{title}: its entry is not in the ledger")
        elif (entry["key"], entry["position"]) != (row["key"], row["position"]):
            problems.append(f"{title}: its entry is {entry_title(entry)}")
        if row["excluded"] == (row["key"] in excluded):
            state = "excluded" if row["excluded"] else "included"
            problems.append(f"{title}: it was {state} before")
        excluded = excluded | {row["key"]} if row["excluded"] else excluded - {row["key"]}
    problems += _decisions(context, len(rows))
    return VerifyResult("exclusions", len(rows), problems)


def _decisions(context: VerifyContext, count: int) -> Iterator[str]:
    """Yield the iterations that went by more rows than there are, or by fewer than one before."""
    for name in (STATISTICS, TRAINING):
        before = 0
        for document in context.iterations:
            decided: Any = document.get("plan", {}).get(name)
            if decided is None:
                continue
            title = f"iteration {document['iteration']}"
            if decided > count:
                yield f"{title}: went by {decided} exclusions, {count} are there"
            if decided < before:
                yield f"{title}: went by {decided} exclusions, one before by {before}"
            before = decided


EXCLUSION_CHECKS: tuple[Check, ...] = (exclusions,)
