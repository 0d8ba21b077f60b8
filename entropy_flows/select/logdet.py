"""The sequential log-determinant filter (Wang 2026, Algorithm 1 and Eq. 10).

    ΔH = log det Σ(D ∪ {c}) - log det Σ(D)
    ΔH > θ_min             accept, update D
    f θ_min < ΔH ≤ θ_min   near: worth a refinement
    otherwise              reject

An empty data set takes its first candidate: the covariance of one vector is λI, as that of none, so
its ΔH is 0.

The gains of a block of candidates are computed at once with the present D. They hold up to the
first acceptance, which changes D; the rest of the block is computed anew. Blocks double while
nothing is accepted and start small after an acceptance, so that at most about as many gains are
thrown away as are used, and the verdicts are those of judging one by one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice

import numpy as np

from entropy_flows.entropy import Mode, SufficientStatistics
from entropy_flows.select.base import Candidate, Decision, Decisions, Verdict, accept, block_gains

SMALLEST, LARGEST = 2, 256
"""Candidates of a block: after an acceptance, and at most."""


@dataclass(frozen=True)
class LogDetSelector:
    """Accept in one pass whatever gains more than θ_min.

    Attributes
    ----------
    theta_min
        Smallest gain worth a label.
    near_factor
        f: above f θ_min a candidate is near.
    """

    theta_min: float = 1e-3
    near_factor: float = 0.5

    def __call__(
        self,
        candidates: Iterable[Candidate],
        statistics: Mapping[Mode, SufficientStatistics],
        budget: int | None = None,
        centres: np.ndarray | None = None,
    ) -> Decisions:
        """Judge each candidate; see `Selector`."""
        stream, ahead, index = iter(candidates), deque[Candidate](), 0
        size, accepted = SMALLEST, 0
        while budget is None or accepted < budget:
            ahead.extend(islice(stream, max(0, size - len(ahead))))
            block = list(islice(ahead, size))
            if not block:
                return "" if budget is None else self._short(accepted, index, budget)
            size = min(2 * size, LARGEST)
            for gain in block_gains(block, statistics).tolist():
                decision = self._judge(index, ahead.popleft(), gain, statistics)
                index += 1
                yield decision
                if (
                    decision.verdict is Verdict.ACCEPTED
                ):  # the other gains are of the data set without it
                    size, accepted = SMALLEST, accepted + 1
                    break
        return ""

    def _short(self, accepted: int, judged: int, budget: int) -> str:
        """Why fewer were accepted than the budget has."""
        return f"{accepted} of {judged} candidates gain more than θ = {self.theta_min:g}, {budget} were wanted"

    def _judge(
        self,
        index: int,
        candidate: Candidate,
        gain: float,
        statistics: Mapping[Mode, SufficientStatistics],
    ) -> Decision:
        """Decide, and let an accepted candidate into the statistics."""
        if (
            gain > self.theta_min or statistics[candidate.mode].n == 0
        ):  # one vector has no spread: its gain is 0
            return accept(index, candidate, statistics, gain)
        near = gain > self.near_factor * self.theta_min
        return Decision(index, candidate, Verdict.NEAR if near else Verdict.REJECTED, gain)
