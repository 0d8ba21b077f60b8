"""Greedy by ΔH: the largest gain first, found exactly without asking every candidate for it again.

    score(x) = ΔH(x),    threshold θ_min                                                         (1)

ΔH is not submodular: N grows, λI does not scale, and the mean moves. With the homogeneous vectors b
= (q, 1) it is a submodular function and one of N alone. Because det Σ_i b bᵀ = N det C (Schur's
complement of the corner N),

    H(D) + d log N = log det(C + NλI) = log det B − log N,                                       (2)
    B = Σ_i b_i b_iᵀ + NλJ,    J = diag(1, …, 1, 0)

and a candidate of m vectors changes this, with ΔH_N what the growth of N alone does
(`SufficientStatistics.drift`), by

    ΔH = ΔH_N(m) − log(1 + m/N) + K,      K = log det(1 + bᵀ (B + mλJ)⁻¹ b) ≥ 0                  (3)

B only grows, so that K only falls: K from any earlier moment, put into (3) with the present N, is
an upper bound of the present gain (Minoux' lazy greedy). Bounds are renewed from the largest down
until no other reaches the best gain. An empty data set has no such bound: what was found on it is
forgotten.

=======  ==========================================================================================
symbol   meaning
=======  ==========================================================================================
C, N     scatter about the mean and number of vectors of the data set, as in `entropy.statistics`
b        (q, 1) for each of the candidate's vectors q, by columns (d + 1, m)
K        `ceilings`, as last computed
=======  ==========================================================================================
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import numpy as np

from entropy_flows.conventions import Array
from entropy_flows.entropy import Mode, SufficientStatistics
from entropy_flows.select.base import Candidate, Pool, Statistics, block_gains
from entropy_flows.select.ranking import all_taken
from entropy_flows.select.selector import DataSet, Proposal, Scorer, Selector

BLOCK = 64
"""Bounds renewed at once, doubled as long as one reaches the best gain."""
SLACK = 1e-8
"""Error that rounding may take off a bound: a gain is exact to 1e-9 (`entropy.spectrum`)."""


class GreedySelector(Selector):
    """Accept the best candidate, then the best of the data set with it, and so on.

    Nothing with a gain of θ_min or less is accepted, but a first candidate of an empty data set.
    The pool is in memory with all its fingerprints.
    """

    selector: str = "greedy"
    needs_centres: ClassVar[bool] = False

    @property
    def threshold(self) -> float:
        """θ_min, or −∞ if there is no such limit."""
        return -np.inf if self.theta_min is None else self.theta_min

    def scorer(self, candidates: Pool, dataset: DataSet, budget: int | None) -> Scorer:
        """Return the candidates with the largest gains."""
        return LazyGains(candidates, dataset, self.threshold)


class LazyGains:
    """The candidate with the largest gain, by equation (3)'s bounds.

    Attributes
    ----------
    pool
        All candidates.
    kinds
        Pairs (mode, m): candidates of a kind have the first two terms of (3) in common.
    kind
        Index of each candidate's kind (n,).
    ceilings
        K of each candidate (n,), as last computed; −∞ for those in the data set.
    """

    best_first = True

    def __init__(self, candidates: Iterable[Candidate], dataset: DataSet, theta: float) -> None:
        self.pool = list(candidates)
        self._dataset = dataset
        self._theta = theta
        self._n_left = len(self.pool)
        kinds = [(each.mode, len(each.q) if each.mode == "atom" else 1) for each in self.pool]
        self.kinds = list(dict.fromkeys(kinds))
        number = {kind: index for index, kind in enumerate(self.kinds)}
        self.kind = np.array([number[kind] for kind in kinds], dtype=int)
        self.ceilings = np.full(len(self.pool), np.inf)

    def propose(self) -> Proposal | None:
        """Return the candidate with the largest gain; the earlier one of equals."""
        if self._n_left == 0:
            return None
        gains = self._largest_gains()
        index = int(np.argmax(gains))
        gain = float(gains[index])
        score = np.inf if self._dataset.is_empty else gain
        return Proposal(index, self.pool[index], score, gain)

    def _largest_gains(self) -> Array:
        """Return the gains (n,) of all that may have the largest; −∞ for the others."""
        statistics = self._dataset.statistics
        common = np.array([common_terms(statistics, *kind) for kind in self.kinds])[self.kind]
        gains = np.full(len(self.pool), -np.inf)
        bounds = self.ceilings + common
        size = BLOCK
        while (stale := np.flatnonzero(bounds > gains.max() - SLACK)).size:
            if len(stale) > size:
                stale = stale[np.argpartition(-bounds[stale], size)[:size]]
            gains[stale] = block_gains([self.pool[index] for index in stale], statistics)
            self.ceilings[stale] = gains[stale] - common[stale]
            bounds[stale] = -np.inf
            size *= 2
        return gains

    def add(self, index: int) -> None:
        """Take a candidate off the pool, and forget bounds that were found on an empty data set."""
        if self._dataset.is_empty:
            self.ceilings[np.isfinite(self.ceilings)] = np.inf
        self.ceilings[index] = -np.inf
        self._n_left -= 1

    def why_none_left(self, accepted: int, budget: int | None) -> str:
        """Return that every candidate was taken."""
        return all_taken(accepted, budget)

    def why_stopped(self, proposal: Proposal) -> str:
        """Return the best gain that is left."""
        return (
            f"the best of the {self._n_left} candidates left gains {proposal.gain:.2g}, "
            f"no more than θ = {self._theta:g}"
        )


def common_terms(statistics: Statistics, mode: Mode, m: int) -> float:
    """Return the first two terms of (3), which all candidates of a kind have in common."""
    stats = statistics.get(mode)
    if stats is None or stats.n == 0:
        return 0.0
    # The bounds hold for log det Σ alone, whatever else may be a criterion.
    assert isinstance(stats, SufficientStatistics), "greedy's bounds are those of log det"
    return stats.drift(m) - float(np.log1p(m / stats.n))
