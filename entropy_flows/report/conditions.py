"""What each condition of the exploration has given: candidates, accepted ones, failures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from entropy_flows.schemas.status import ConditionCount
from entropy_flows.store.labels import CONDITION

if TYPE_CHECKING:
    from entropy_flows.store import CampaignStore

Values = tuple[Any, ...]
"""Phase, temperature, k and pressure."""


def condition_counts(
    store: CampaignStore, iterations: Sequence[Mapping[str, Any]]
) -> list[ConditionCount]:
    """Count what each condition has given, in the order in which they were explored.

    A condition that gave nothing has its row, too: that is what the counts are read for.

    Parameters
    ----------
    store
        The campaign.
    iterations
        Documents of its iterations.
    """
    runs: Counter[Values] = Counter()
    stopped: Counter[Values] = Counter()
    explored: Counter[Values] = Counter()
    for document in iterations:
        for run in document.get("runs") or ():
            condition = _values(run)
            runs[condition] += 1
            stopped[condition] += run["reason"] is not None
            explored[condition] += run["snapshots"]
    accepted = Counter(map(_values, store.accepted_origins()))
    failed = Counter(map(_values, store.failed_conditions()))
    return [
        ConditionCount(
            **dict(zip(CONDITION, condition, strict=True)),
            runs=runs[condition],
            stopped=stopped[condition],
            explored=explored[condition],
            accepted=accepted[condition],
            failed_labels=failed[condition],
        )
        for condition in runs
    ]


def _values(row: Mapping[str, Any]) -> Values:
    return tuple(row.get(name) for name in CONDITION)
