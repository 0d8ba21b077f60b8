"""The sequential log-determinant filter (paper A, Algorithm 1 and Eq. 10).

    ΔH = log det Σ(D ∪ {c}) - log det Σ(D)
    ΔH > θ_min             accept, update D
    f θ_min < ΔH ≤ θ_min   near: worth a refinement
    otherwise              reject

An empty data set takes its first candidate: the covariance of one vector is λI, as that of none, so its ΔH is 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from entropy_flows.entropy import SufficientStatistics
from entropy_flows.select.base import Candidate, Decision, Verdict


@dataclass(frozen=True)
class LogDetSelector:
    """Accept in one pass whatever gains more than θ_min.

    Attributes
    ----------
    theta_min
        Smallest gain worth a label.
    near_factor
        f: above f θ_min a candidate is near.
    order
        "explored" judges in the order given, which is the paper's; "shuffled" in a random one, so that a budget
        smaller than the pool is spread over all conditions instead of being spent on the first.
    """

    theta_min: float = 1e-3
    near_factor: float = 0.5
    order: Literal["explored", "shuffled"] = "shuffled"

    def __call__(
        self,
        candidates: Sequence[Candidate],
        statistics: Mapping[str, SufficientStatistics],
        budget: int,
        rng: np.random.Generator,
        on_decision: Callable[[Decision], None] | None = None,
    ) -> list[Decision]:
        """Judge each candidate; see `Selector`."""
        order = np.arange(len(candidates)) if self.order == "explored" else rng.permutation(len(candidates))
        decisions, left = [], budget
        for index in map(int, order):
            decision = self._judge(index, candidates[index], statistics) if left > 0 else _spent(index)
            if decision.verdict is Verdict.ACCEPTED:
                left -= 1
                for stats in statistics.values():
                    stats.add(candidates[index].q)
            decisions.append(decision)
            if on_decision is not None:
                on_decision(decision)
        return decisions

    def _judge(self, index: int, candidate: Candidate, statistics: Mapping[str, SufficientStatistics]) -> Decision:
        gain = float(statistics[candidate.mode].gain(candidate.q))
        if gain > self.theta_min or statistics[candidate.mode].n == 0:  # one vector has no spread: its gain is 0
            return Decision(index, Verdict.ACCEPTED, gain)
        if gain > self.near_factor * self.theta_min:
            return Decision(index, Verdict.NEAR, gain)
        return Decision(index, Verdict.REJECTED, gain)


def _spent(index: int) -> Decision:
    return Decision(index, Verdict.SPENT, float("nan"))
