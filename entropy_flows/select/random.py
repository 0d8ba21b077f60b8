"""Random choice: the baseline, and the paper's first generation, which had no global filter."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from entropy_flows.entropy import SufficientStatistics
from entropy_flows.select.base import Candidate, Decision, Verdict


@dataclass(frozen=True)
class RandomSelector:
    """Accept `budget` candidates at random, whatever they gain; the statistics are still kept."""

    def __call__(
        self,
        candidates: Sequence[Candidate],
        statistics: Mapping[str, SufficientStatistics],
        budget: int,
        rng: np.random.Generator,
        on_decision: Callable[[Decision], None] | None = None,
    ) -> list[Decision]:
        """Judge each candidate; see `Selector`."""
        decisions = []
        for count, index in enumerate(map(int, rng.permutation(len(candidates)))):
            decision = Decision(index, Verdict.SPENT, float("nan"))
            if count < budget:
                candidate = candidates[index]
                decision = Decision(index, Verdict.ACCEPTED, float(statistics[candidate.mode].gain(candidate.q)))
                for stats in statistics.values():
                    stats.add(candidate.q)
            decisions.append(decision)
            if on_decision is not None:
                on_decision(decision)
        return decisions
