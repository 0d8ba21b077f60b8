"""Verify approvals: each is of an entry, and what was rejected has no label."""

from __future__ import annotations

from entropy_flows.store.verify_context import Check, VerifyContext, VerifyResult, entry_title


def approvals(context: VerifyContext) -> VerifyResult:
    """Check the cells that wait, or waited, for an approval."""
    rows = context.store.approvals()
    problems: list[str] = []
    labels = context.store.database["labels"]
    for row in rows:
        title = f"approval of {entry_title(row)}"
        query = {"_id": row["structure_id"], "campaign": context.store.name}
        entry = context.ledger.structures.find_one(query, {"key": 1, "position": 1})
        if entry is None:
            problems.append(f"{title}: its entry is not in the ledger")
        elif (entry["key"], entry["position"]) != (row["key"], row["position"]):
            problems.append(f"{title}: its entry is {entry_title(entry)}")
        labelled = {"structure_id": row["structure_id"], "converged": True}
        if row.get("approved") is False and labels.find_one(labelled, {"_id": 1}) is not None:
            problems.append(f"{title}: it was rejected, and has a label")
    return VerifyResult("approvals", len(rows), problems)


APPROVAL_CHECKS: tuple[Check, ...] = (approvals,)
