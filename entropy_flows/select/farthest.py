"""Farthest point: the candidate farthest from everything in the data set, then the farthest from that too.

    x* = argmax_x min_{c ∈ D} |x − c|,    D ← D ∪ {x*}

Points are standardised mean fingerprints (`space`). With an empty data set the first candidate of
the order comes first. (Gonzalez, Theor. Comput. Sci. 38, 293, 1985; in atomistics as farthest point
sampling.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from entropy_flows.entropy import Mode, SufficientStatistics
from entropy_flows.select.base import Decisions, Pool, accept, used_up
from entropy_flows.select.space import FeatureSpace, summarise_pool


@dataclass(frozen=True)
class FarthestSelector:
    """Accept the farthest candidate, one after the other, and no copies; the others are not decided on."""

    def __call__(
        self,
        candidates: Pool,
        statistics: Mapping[Mode, SufficientStatistics],
        budget: int | None = None,
        centres: np.ndarray | None = None,
    ) -> Decisions:
        """Accept candidates, the farthest first; see `Selector`."""
        space = FeatureSpace(summarise_pool(candidates).means, centres)
        for _ in range(len(space) if budget is None else min(budget, len(space))):
            index = space.farthest()
            if space.is_copy(index):
                return space.copies_left()
            space.add(index)
            yield accept(index, candidates[index], statistics)
        return used_up(len(space), budget)
