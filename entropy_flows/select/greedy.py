"""Greedy by ΔH: the candidate with the largest gain first, found exactly without asking each for its gain again.

    while there is budget:  x* = argmax_x ΔH(x),  stop if ΔH(x*) ≤ θ_min,  add x* to the data set                    (1)

ΔH is not submodular: N grows, λI does not scale, and the mean moves. With the homogeneous vectors b
= (q, 1) it is a submodular function and one of N alone. Because det Σ_i b bᵀ = N det C (Schur's
complement of the corner N),

    H(D) + d log N = log det(C + NλI) = log det B − log N,      B = Σ_i b_i b_iᵀ + NλJ,    J = diag(1, …, 1, 0)      (2)

and a candidate of m vectors changes this, with ΔH_N what the growth of N alone does
(`SufficientStatistics.drift`), by

    ΔH = ΔH_N(m) − log(1 + m/N) + K,      K = log det(1 + bᵀ (B + mλJ)⁻¹ b) ≥ 0                                     (3)

B only grows, so that K only falls: K from any earlier moment, put into (3) with the present N, is
an upper bound of the present gain (Minoux' lazy greedy). Bounds are renewed from the largest down
until no other reaches the best gain. An empty data set has no such bound: what was found on it is
forgotten.

=======  ==========================================================================================================
symbol   meaning
=======  ==========================================================================================================
C, N     scatter about the mean and number of vectors of the data set, as in `entropy.statistics`
b        (q, 1) for each of the candidate's vectors q, by columns (d + 1, m)
K        `ceilings`, as last computed
=======  ==========================================================================================================
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from entropy_flows.entropy import Mode, SufficientStatistics
from entropy_flows.select.base import Candidate, Decisions, accept, block_gains, used_up

BLOCK = 64
"""Bounds renewed at once, doubled as long as one reaches the best gain."""
SLACK = 1e-8
"""What rounding may take off a bound: a gain is exact to 1e-9 (`entropy.spectrum`)."""


@dataclass(frozen=True)
class GreedySelector:
    """Accept the best candidate, then the best of the data set with it, and so on; the others are not decided on.

    The pool is in memory with all its fingerprints.

    Attributes
    ----------
    theta_min
        Nothing with a gain of this or less is accepted, but a first candidate of an empty data set.
    """

    theta_min: float = 1e-3

    def __call__(
        self,
        candidates: Iterable[Candidate],
        statistics: Mapping[Mode, SufficientStatistics],
        budget: int | None = None,
        centres: np.ndarray | None = None,
    ) -> Decisions:
        """Accept candidates, the one with the largest gain first; see `Selector`."""
        left = _Left(candidates)
        for done in range(len(left.pool) if budget is None else min(budget, len(left.pool))):
            index, gain = left.best(statistics)
            candidate = left.pool[index]
            if not gain > self.theta_min and statistics[candidate.mode].n > 0:
                others = len(left.pool) - done
                return f"the best of the {others} candidates left gains {gain:.2g}, no more than θ = {self.theta_min:g}"
            left.take(index, statistics)
            yield accept(index, candidate, statistics, gain)
        return used_up(len(left.pool), budget)


class _Left:
    """What is left of the pool, and equation (3)'s bounds."""

    def __init__(self, candidates: Iterable[Candidate]) -> None:
        self.pool = list(candidates)
        kinds = [(each.mode, len(each.q) if each.mode == "atom" else 1) for each in self.pool]
        self.kinds = list(dict.fromkeys(kinds))
        """(mode, m): candidates of a kind have the first two terms of (3) in common."""
        number = {kind: place for place, kind in enumerate(self.kinds)}
        self.kind = np.array([number[kind] for kind in kinds], dtype=int)
        self.ceilings = np.full(len(self.pool), np.inf)

    def best(self, statistics: Mapping[Mode, SufficientStatistics]) -> tuple[int, float]:
        """Place and gain of the candidate with the largest gain; the earlier one of equals."""
        common = np.array([_common(statistics, *kind) for kind in self.kinds])[self.kind]
        gains, bounds = np.full(len(self.pool), -np.inf), self.ceilings + common
        size = BLOCK
        while (stale := np.flatnonzero(bounds > max(gains.max() - SLACK, -np.inf))).size:
            if len(stale) > size:
                stale = stale[np.argpartition(-bounds[stale], size)[:size]]
            gains[stale] = block_gains([self.pool[place] for place in stale], statistics)
            self.ceilings[stale] = gains[stale] - common[stale]
            bounds[stale] = -np.inf
            size *= 2
        top = int(np.argmax(gains))
        return top, float(gains[top])

    def take(self, index: int, statistics: Mapping[Mode, SufficientStatistics]) -> None:
        """A candidate is about to enter the data set."""
        for place, (mode, _) in enumerate(self.kinds):
            if mode in statistics and statistics[mode].n == 0:
                still = np.isfinite(self.ceilings) & (self.kind == place)
                self.ceilings[still] = np.inf
        self.ceilings[index] = -np.inf


def _common(statistics: Mapping[Mode, SufficientStatistics], mode: Mode, m: int) -> float:
    """First two terms of (3)."""
    stats = statistics.get(mode)
    return 0.0 if stats is None or stats.n == 0 else stats.drift(m) - float(np.log1p(m / stats.n))
