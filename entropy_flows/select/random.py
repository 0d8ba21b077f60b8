"""Random choice: the baseline, and the paper's first generation, which had no global filter."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from entropy_flows.entropy import Mode, SufficientStatistics
from entropy_flows.select.base import Candidate, Decision, Verdict, block_gains


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
    ) -> Iterator[Decision]:
        """Accept each candidate; see `Selector`."""
        for index, candidate in enumerate(islice(candidates, budget)):
            gain = float(block_gains([candidate], statistics)[0])
            for stats in statistics.values():
                stats.add(candidate.q)
            yield Decision(index, candidate, Verdict.ACCEPTED, gain)
