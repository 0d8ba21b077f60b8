"""Committee: what a committee of models disagrees about most (query by committee, Khan 2026's "uncertainty").

    x* = argmax_x u(x),    u the spread of the members' predictions, as `Candidate.uncertainty` has it

The candidates of one batch are taken by u alone, however alike they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from entropy_flows.entropy import Mode, SufficientStatistics
from entropy_flows.select.base import Decisions, Pool, accept, used_up
from entropy_flows.select.space import summarise_pool


@dataclass(frozen=True)
class CommitteeSelector:
    """Accept the most uncertain candidates, the most uncertain first; the others are not decided on."""

    def __call__(
        self,
        candidates: Pool,
        statistics: Mapping[Mode, SufficientStatistics],
        budget: int | None = None,
        centres: np.ndarray | None = None,
    ) -> Decisions:
        """Accept candidates; see `Selector`."""
        uncertainty = summarise_pool(candidates, "committee").uncertainty
        assert uncertainty is not None, "a survey for a selector that goes by it has it"
        for index in np.argsort(-uncertainty, kind="stable")[:budget].tolist():
            yield accept(index, candidates[index], statistics)
        return used_up(len(uncertainty), budget)
