"""The best of what was left over, for labels that failed: greedy by ΔH, without a random order.

    while few are chosen:  x* = argmax_x ΔH(x),  stop if ΔH(x*) ≤ θ,  add x* to the data set

Exact among the candidates with the largest gains at the start, `POOL` of them for each one wanted: the gain of any
other would have to overtake all of these.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

import numpy as np

from entropy_flows.entropy import Mode, SufficientStatistics
from entropy_flows.select.base import Candidate

CHUNK = 1024
POOL = 16


def next_best(
    candidates: Iterable[Candidate], statistics: Mapping[Mode, SufficientStatistics], wanted: int, threshold: float
) -> list[tuple[int, Candidate, float]]:
    """Choose at most `wanted` candidates, the one with the largest gain first.

    Parameters
    ----------
    candidates
        The pool, each judged in its own mode; never held as a whole.
    statistics
        Of the data set, per mode; what is chosen is added to both.
    wanted
        How many.
    threshold
        θ: nothing with a gain of this or less is chosen.

    Returns
    -------
    list of tuple
        Place in the pool, candidate and gain.
    """
    best: list[tuple[int, Candidate, float]] = []
    for chunk in _chunks(enumerate(candidates)):
        gains = _gains([candidate for _, candidate in chunk], statistics)
        best += [(place, candidate, gain) for (place, candidate), gain in zip(chunk, gains, strict=True)]
        best = sorted(best, key=lambda item: (-item[2], item[0]))[: POOL * wanted]
    chosen: list[tuple[int, Candidate, float]] = []
    while best and len(chosen) < wanted:
        gains = _gains([candidate for _, candidate, _ in best], statistics)
        place, candidate, _ = best.pop(top := int(np.argmax(gains)))
        if not gains[top] > threshold:
            break
        chosen.append((place, candidate, float(gains[top])))
        for stats in statistics.values():
            stats.add(candidate.q)
    return chosen


def _chunks(items: Iterator[tuple[int, Candidate]]) -> Iterator[list[tuple[int, Candidate]]]:
    while chunk := list(islice(items, CHUNK)):
        yield chunk


def _gains(candidates: list[Candidate], statistics: Mapping[Mode, SufficientStatistics]) -> np.ndarray:
    """ΔH of each candidate in its own mode."""
    gains = np.empty(len(candidates))
    for mode, stats in statistics.items():
        places = [place for place, candidate in enumerate(candidates) if candidate.mode == mode]
        if places:
            gains[places] = stats.gains([candidates[place].q for place in places])
    return gains
