"""The sequential log-determinant filter (Wang 2026, Algorithm 1 and Eq. 10).

    score = ΔH = log det Σ(D ∪ {c}) - log det Σ(D)
    ΔH > θ_min             accept, update D
    f θ_min < ΔH ≤ θ_min   near miss: worth a refinement
    otherwise              reject

An empty data set takes its first candidate: the covariance of one vector is λI, as that of none, so
its ΔH is 0. Its score is ∞.

The gains of a block of candidates are computed at once with the present D. They hold up to the
first acceptance, which changes D; the rest of the block is computed anew. Blocks double while
nothing is accepted and start small after an acceptance, so that at most about as many gains are
thrown away as are used, and the verdicts are those of judging one by one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from itertools import islice
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from entropy_flows.select.base import Candidate, Pool, Verdict, block_gains
from entropy_flows.select.selector import ANY_GAIN, DataSet, Proposal, Scorer, Selector

SMALLEST_BLOCK = 2
"""Candidates of a block after an acceptance."""
LARGEST_BLOCK = 256
"""Candidates of a block at most."""


class LogDetSelector(Selector):
    """Accept in one pass whatever gains more than θ_min."""

    selector: str = "logdet"
    near_factor: float = Field(0.5, ge=0, le=1)
    """Candidates that gain between near_factor × theta_min and theta_min go to refinement."""
    order: Literal["explored", "shuffled"] = "shuffled"
    """Order of judging. explored: as they were found, as in Wang 2026. shuffled: at random, so that
    a budget smaller than the pool is spread over all conditions instead of being spent on the
    first."""
    is_one_pass: ClassVar[bool] = True
    needs_centres: ClassVar[bool] = False

    @property
    def threshold(self) -> float:
        """θ_min, or −∞ if there is no such limit."""
        return -np.inf if self.theta_min is None else self.theta_min

    def judging_order(self, n: int, rng: np.random.Generator) -> list[int]:
        """Return the order in which n candidates are judged."""
        return list(range(n)) if self.order == "explored" else super().judging_order(n, rng)

    def for_replacements(self) -> Selector:
        """Return the greedy selector, since all of what is left over was judged before.

        A replacement gains something, whatever θ_min is.
        """
        from entropy_flows.select.greedy import GreedySelector

        return GreedySelector(theta_min=self.theta_min or ANY_GAIN)

    def scorer(self, candidates: Pool, dataset: DataSet, budget: int | None) -> Scorer:
        """Return the candidates as they come, with their gains."""
        return GainStream(candidates, dataset, self.threshold)

    def verdict(self, score: float) -> Verdict:
        """Compare a gain with θ_min and f θ_min."""
        if score > self.threshold:
            return Verdict.ACCEPTED
        if score > self.near_factor * self.threshold:
            return Verdict.NEAR_MISS
        return Verdict.REJECTED


class GainStream:
    """Candidates in their order, each with its gain over the data set at that moment."""

    best_first = False

    def __init__(self, candidates: Iterable[Candidate], dataset: DataSet, theta: float) -> None:
        self._stream = iter(candidates)
        self._dataset = dataset
        self._theta = theta
        self._ahead = deque[Candidate]()
        """Candidates that were read and are not judged yet."""
        self._gains = deque[float]()
        """Gains of the first of them over the present data set."""
        self._block_size = SMALLEST_BLOCK
        self._is_first = dataset.is_empty
        self._judged = 0

    def propose(self) -> Proposal | None:
        """Return the next candidate with its gain."""
        if not self._gains:
            self._compute_block()
        if not self._gains:
            return None
        candidate = self._ahead.popleft()
        gain = self._gains.popleft()
        index = self._judged
        self._judged += 1
        score = np.inf if self._is_first else gain
        return Proposal(index, candidate, score, gain)

    def _compute_block(self) -> None:
        n_missing = max(0, self._block_size - len(self._ahead))
        self._ahead.extend(islice(self._stream, n_missing))
        block = list(islice(self._ahead, self._block_size))
        self._gains.extend(block_gains(block, self._dataset.statistics).tolist())
        self._block_size = min(2 * self._block_size, LARGEST_BLOCK)

    def add(self, index: int) -> None:
        """Forget the gains over the data set without the accepted candidate."""
        self._gains.clear()
        self._is_first = False
        self._block_size = SMALLEST_BLOCK

    def why_none_left(self, accepted: int, budget: int | None) -> str:
        """Return how many of the candidates gain enough."""
        if budget is None:
            return ""
        return (
            f"{accepted} of {self._judged} candidates gain more than θ = {self._theta:g}, "
            f"{budget} were wanted"
        )

    def why_stopped(self, proposal: Proposal) -> str:
        """Return nothing: a rejection does not end the pass."""
        return ""
