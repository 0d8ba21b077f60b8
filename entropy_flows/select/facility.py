"""Facility location: each cell of the pool has a cell of the data set that is like it.

    f(D) = Σ_i max_{c ∈ D} k(x_i, x_c)                                                           (1)
    next = argmax_x f(D ∪ x) − f(D) = argmax_x Σ_i max(0, k(x_i, x) − s_i)                       (2)

with s_i the likeness of cell i to its nearest in D. f is monotone and submodular: a gain only falls
while D grows, so that one from earlier is an upper bound of the present one (Minoux' lazy greedy),
and the greedy choice has at least 1 − 1/e of the largest f. (Krause and Golovin, "Submodular
function maximization", in Tractability, Cambridge 2014, sections 1 and 3.2.)

The sum runs over the pool, or over `REPRESENTED` of its cells if it is larger.
"""

from __future__ import annotations

import numpy as np

from entropy_flows.conventions import Array
from entropy_flows.entropy.basis import COPY_DISTANCE, rbf
from entropy_flows.select.base import Pool
from entropy_flows.select.kernel import KernelSelector
from entropy_flows.select.ranking import Ranking
from entropy_flows.select.selector import DataSet, Scorer
from entropy_flows.select.space import Indices

REPRESENTED = 4000
"""Cells of the pool that f counts, at most."""
BLOCK = 64
"""Bounds renewed at once, doubled as long as one reaches the best gain."""


class FacilitySelector(KernelSelector):
    """Accept what is like most of the pool that nothing in the data set is like, and no copies."""

    selector: str = "facility"

    def scorer(self, candidates: Pool, dataset: DataSet, budget: int | None) -> Scorer:
        """Return the candidates by equation (2)."""
        return FacilityRanking(self, candidates, dataset)


class FacilityRanking(Ranking):
    """A pool ranked by equation (2).

    Attributes
    ----------
    bounds
        Upper bound of each candidate's gain (n,): the gain when it was last asked for.
    """

    def __init__(self, selector: FacilitySelector, candidates: Pool, dataset: DataSet) -> None:
        super().__init__(selector, candidates, dataset)
        points = self.space.points
        self.bounds: Array = np.full(len(points), np.inf)
        if not len(points):
            return
        # The pool comes in a random order: every so many cells are a random part of it.
        self._represented = points[:: -(-len(points) // REPRESENTED)]
        self._length = selector.basis(points, 0).length
        self._similarity = np.zeros(len(self._represented))
        """s (n,) of equation (2)."""
        for centre in self.space.centres:
            self._raise(centre)

    def best(self) -> tuple[int, float]:
        """Return number and gain of the best candidate; −∞ if only copies are left."""
        self.bounds[~self._is_left | (self.space.nearest <= COPY_DISTANCE)] = -np.inf
        gains = np.full(len(self.bounds), -np.inf)
        bounds = self.bounds.copy()
        size = BLOCK
        while (stale := np.flatnonzero((bounds > -np.inf) & (bounds >= gains.max()))).size:
            if len(stale) > size:
                stale = stale[np.argpartition(-bounds[stale], size)[:size]]
            gains[stale] = self._gains(stale)
            self.bounds[stale] = gains[stale]
            bounds[stale] = -np.inf
            size *= 2
        index = int(np.argmax(gains))
        return index, float(gains[index])

    def add(self, index: int) -> None:
        """Take a candidate off the ranking, and let it stand for those like it."""
        super().add(index)
        self._raise(self.space.points[index])

    def _gains(self, rows: Indices) -> Array:
        """Return the gains of some candidates, equation (2)."""
        likeness = rbf(self._represented, self.space.points[rows], self._length)
        gains: Array = np.maximum(likeness - self._similarity[:, None], 0.0).sum(axis=0)
        return gains

    def _raise(self, centre: Array) -> None:
        likeness = rbf(self._represented, centre[None], self._length)[:, 0]
        self._similarity = np.maximum(self._similarity, likeness)
