"""Greedy by ΔH: the candidate with the largest gain first, without an order.

    while there is budget:  x* = argmax_x ΔH(x),  stop if ΔH(x*) ≤ θ_min,  add x* to the data set

The pool is read once. Of it, the `SHORTLIST` candidates with the largest gains at the start are kept for each one that
the budget has: the gain of any other would have to overtake all of these. Without a budget the whole pool is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

import numpy as np

from entropy_flows.entropy import Mode, SufficientStatistics
from entropy_flows.select.base import Candidate, Decision, Verdict, block_gains

CHUNK = 1024
SHORTLIST = 16


@dataclass(frozen=True)
class GreedySelector:
    """Accept the best candidate, then the best of the data set with it, and so on; the others are not decided on.

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
    ) -> Iterator[Decision]:
        """Accept candidates, the one with the largest gain first; see `Selector`."""
        best = _shortlist(candidates, statistics, budget)
        while best and budget != 0:
            gains = block_gains([candidate for _, candidate in best], statistics)
            index, candidate = best.pop(top := int(np.argmax(gains)))
            if not gains[top] > self.theta_min and statistics[candidate.mode].n > 0:
                return
            for stats in statistics.values():
                stats.add(candidate.q)
            budget = None if budget is None else budget - 1
            yield Decision(index, candidate, Verdict.ACCEPTED, float(gains[top]))


def _shortlist(
    candidates: Iterable[Candidate], statistics: Mapping[Mode, SufficientStatistics], budget: int | None
) -> list[tuple[int, Candidate]]:
    """Place and candidate of those with the largest gains now, the earlier one first of equals."""
    best: list[tuple[float, int, Candidate]] = []
    stream = enumerate(candidates)
    while chunk := list(islice(stream, CHUNK)):
        gains = block_gains([candidate for _, candidate in chunk], statistics)
        best += [(gain, *item) for gain, item in zip(gains.tolist(), chunk, strict=True)]
        best = sorted(best, key=lambda item: (-item[0], item[1]))[: None if budget is None else SHORTLIST * budget]
    return [item[1:] for item in best]
