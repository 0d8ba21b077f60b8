"""Random choice: the baseline, and the paper's first generation, which had no global filter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice

import numpy as np

from entropy_flows.entropy import Mode, SufficientStatistics
from entropy_flows.select.base import Candidate, Decisions, accept, used_up


@dataclass(frozen=True)
class RandomSelector:
    """Accept the first `budget` candidates, whatever they gain; the statistics are still kept.

    What is random is the order in which they come: that of `SelectParams.judging_order`.
    """

    def __call__(
        self,
        candidates: Iterable[Candidate],
        statistics: Mapping[Mode, SufficientStatistics],
        budget: int | None = None,
        centres: np.ndarray | None = None,
    ) -> Decisions:
        """Accept each candidate; see `Selector`."""
        done = 0
        for index, candidate in enumerate(islice(candidates, budget)):
            done += 1
            yield accept(index, candidate, statistics)
        return used_up(done, budget)
