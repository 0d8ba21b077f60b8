"""What people have made of a campaign, and the model that it has: for programs that watch it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from entropy_flows.schemas.status import (
    ApprovalCounts,
    ChangedSetting,
    ExcludedCell,
    ModelStatus,
    Retrained,
)
from entropy_flows.store.connection import StoreError
from entropy_flows.store.settings_changes import changes_of

if TYPE_CHECKING:
    from entropy_flows.store import CampaignStore


def steering_facts(
    store: CampaignStore, document: Mapping[str, Any], iterations: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Read the fields of `CampaignStatus` on the model and on what was decided by people.

    Parameters
    ----------
    store
        The campaign.
    document
        Its own document.
    iterations
        Documents of its iterations.
    """
    excluded = store.excluded().values()
    changes = changes_of(document)
    return {
        "model": _model(store, iterations),
        "retrained": [_retrained(row) for row in store.versions()],
        "excluded": [
            ExcludedCell(key=row["key"], why=row["why"], by=row["by"], at=row["created"])
            for row in excluded
        ],
        "changes": [
            ChangedSetting(
                key=change.key,
                old=change.old,
                new=change.new,
                iteration=change.iteration,
                by=change.by,
                at=change.at,
            )
            for change in changes
        ],
        "approvals": _approvals(store),
        "forked_from": document.get("forked_from"),
    }


def _model(store: CampaignStore, iterations: Sequence[Mapping[str, Any]]) -> ModelStatus | None:
    """Return the model that a campaign goes on from; None if there is none, or it is gone."""
    try:
        row = store.model_in_use()
    except StoreError:
        # `status` is asked where something is wrong, too
        return None
    if row is None:
        return None
    evaluations = {doc["iteration"]: doc.get("evaluate") or {} for doc in iterations}
    evaluation = row.get("evaluate") or evaluations.get(row["iteration"], {})
    return ModelStatus(
        iteration=row["iteration"],
        version=row.get("version", 1),
        name=row["name"],
        reference=row["reference"],
        sha256=row["sha256"],
        errors=evaluation.get("after") or {},
    )


def _retrained(row: Mapping[str, Any]) -> Retrained:
    """Return what became of a training that was made again."""
    evaluation = row["evaluate"]
    return Retrained(
        iteration=row["iteration"],
        version=row["version"],
        trained_on=row["training"]["trained_on"],
        before=evaluation["before"],
        after=evaluation["after"],
        goes_on=evaluation["continues"]["is_new"],
    )


def _approvals(store: CampaignStore) -> ApprovalCounts:
    """Count the cells that wait or waited for an approval, by what was decided."""
    decisions = [row.get("approved") for row in store.approvals()]
    return ApprovalCounts(
        waiting=decisions.count(None),
        approved=decisions.count(True),
        rejected=decisions.count(False),
    )
