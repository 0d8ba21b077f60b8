"""Hybrid of Khan 2026: uncertain and far from what there is.

    x* = argmax_x  α u(x) / max u  +  (1 − α) d(x) / max d,    d(x) = min_{c ∈ D} |x − c|,    D ← D ∪ {x*}

u      the committee's spread, shifted so that the smallest of the pool is 0
d      distance of standardised mean fingerprints (`space`), measured anew after each; 1 for all if D is empty

Both run from 0 to 1 over the pool. α = 0.6 is the paper's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from entropy_flows.conventions import Array
from entropy_flows.entropy import Mode, SufficientStatistics
from entropy_flows.select.base import Decisions, Pool, accept, used_up
from entropy_flows.select.space import SAME, FeatureSpace, summarise_pool


@dataclass(frozen=True)
class HybridSelector:
    """Accept the candidate with the best sum of both, one after the other; the others are not decided on.

    Attributes
    ----------
    alpha
        α: 1 is uncertainty alone, 0 diversity alone (`farthest`).
    """

    alpha: float = 0.6

    def __call__(
        self,
        candidates: Pool,
        statistics: Mapping[Mode, SufficientStatistics],
        budget: int | None = None,
        centres: np.ndarray | None = None,
    ) -> Decisions:
        """Accept candidates; see `Selector`."""
        found = summarise_pool(candidates, "hybrid")
        assert found.uncertainty is not None, "a survey for a selector that goes by it has it"
        uncertain, space = (
            _scaled(found.uncertainty - found.uncertainty.min(initial=np.inf)),
            FeatureSpace(found.means, centres),
        )
        for _ in range(len(space) if budget is None else min(budget, len(space))):
            left = np.flatnonzero(space.nearest > SAME)
            if len(left) == 0:
                return space.copies_left()
            score = self.alpha * uncertain[left] + (1 - self.alpha) * _scaled(space.nearest[left])
            index = int(left[np.argmax(score)])
            space.add(index)
            yield accept(index, candidates[index], statistics)
        return used_up(len(space), budget)


def _scaled(values: Array) -> Array:
    """Divided by the largest; 1 for all if that is infinite, 0 if it is 0."""
    largest = values.max(initial=0.0)
    return np.ones(len(values)) if np.isinf(largest) else values / (largest or 1.0)
