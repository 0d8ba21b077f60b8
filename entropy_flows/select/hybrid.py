"""Hybrid of Khan 2026: uncertain and far from the data set.

    score(x) = α u(x) / max u  +  (1 − α) d(x) / max d,    d(x) = min_{c ∈ D} |x − c|

u      the committee's spread, shifted so that the smallest of the pool is 0
d      distance of standardised mean fingerprints (`space`), measured anew after each choice; 1 for
       all if D is empty

Both run from 0 to 1 over the pool. Khan 2026 has α = 0.6.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from entropy_flows.conventions import Array
from entropy_flows.entropy.basis import COPY_DISTANCE
from entropy_flows.select.committee import UncertaintySelector
from entropy_flows.select.ranking import Ranking
from entropy_flows.select.selector import Proposal


class HybridSelector(UncertaintySelector):
    """Accept the candidate with the best sum of both, one after the other, and no copies."""

    selector: str = "hybrid"
    alpha: float = Field(0.6, ge=0, le=1)
    """Share α of the uncertainty in the score: 1 is uncertainty alone, 0 distance alone as in
    farthest."""

    def score(self, pool: Ranking) -> Array:
        """Return the weighted sum (n,); −∞ for copies of cells in the data set."""
        assert pool.uncertainty is not None, "a ranking for a selector that needs it has it"
        distance = pool.space.nearest
        uncertainty = pool.uncertainty - pool.uncertainty.min()
        score = self.alpha * _scaled(uncertainty) + (1 - self.alpha) * _scaled(distance)
        return np.where(distance > COPY_DISTANCE, score, -np.inf)

    def why_stopped(self, pool: Ranking, proposal: Proposal) -> str:
        """Return that only copies are left."""
        return pool.space.copies_left()


def _scaled(values: Array) -> Array:
    """Divide by the largest; 1 for all if that is infinite, 0 if it is 0."""
    largest = values.max()
    return np.ones(len(values)) if np.isinf(largest) else values / (largest or 1.0)
