"""The protocol every selector obeys: a pool of candidates goes in, decisions stream out.

Selectors that judge one candidate after the other keep nothing that grows with the pool. Those that
look at all of it keep its mean fingerprints, or for `greedy` its fingerprints, and ask the pool
again for a candidate that they choose.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np

from entropy_flows.entropy import Mode, SufficientStatistics


@dataclass(frozen=True, slots=True)
class Candidate:
    """A snapshot that may be labelled.

    Attributes
    ----------
    key
        Name within the campaign; selection never depends on it.
    q
        Fingerprints (n_atoms, dim).
    mode
        Covariance mode its gain is judged in: "atom" or "config".
    uncertainty
        How far a committee's members disagree about it; None without a committee.
    """

    key: str
    q: np.ndarray
    mode: Mode
    uncertainty: float | None = None


class Verdict(StrEnum):
    """What became of a candidate."""

    ACCEPTED = "accepted"
    NEAR = "near"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Decision:
    """A candidate's verdict.

    Attributes
    ----------
    index
        Its place in the pool, from 0.
    candidate
        The candidate itself: whoever wants to keep what was accepted takes it from here.
    verdict
        What became of it.
    gain
        ΔH at the moment of judging, whatever the selector goes by.
    """

    index: int
    candidate: Candidate
    verdict: Verdict
    gain: float


Decisions = Generator[Decision, None, str]
"""Decisions one after the other; what it returns says why they ended before the budget was
spent, or is "".
"""


class DecisionStream:
    """Decisions to iterate over; afterwards `reason` says why they ended before the budget was spent, or is empty."""

    def __init__(self, decisions: Decisions) -> None:
        self._decisions, self.reason = decisions, ""

    def __iter__(self) -> Iterator[Decision]:
        self.reason = yield from self._decisions


class Pool(Protocol):
    """Candidates: a list, or something that makes them when they are asked for."""

    def __len__(self) -> int:
        """How many there are."""
        ...

    def __iter__(self) -> Iterator[Candidate]:
        """All, in the order of judging."""
        ...

    def __getitem__(self, index: int) -> Candidate:
        """One of them."""
        ...


class Selector(Protocol):
    """Judges candidates against the data set.

    The statistics, one per mode, are updated in place: every accepted candidate enters all of them,
    since it will be in the training set whichever mode found it.
    """

    def __call__(
        self,
        candidates: Pool,
        statistics: Mapping[Mode, SufficientStatistics],
        budget: int | None = None,
        centres: np.ndarray | None = None,
    ) -> Decisions:
        """Decide on candidates.

        Parameters
        ----------
        candidates
            The pool, in the order of `SelectParams.judging_order`. `logdet` and `random` read it in
            blocks, a little ahead of judging, and take any iterable; the others read all of it
            once, and the chosen ones again.
        statistics
            Mode → statistics of everything in the data set so far.
        budget
            Most candidates to accept; None for no limit. Once it is spent, no more are decided on.
        centres
            Mean fingerprints (n, dim) of the cells in the data set, for selectors that measure
            distances; None if there are none.

        Yields
        ------
        Decision
            On one candidate after the other; what is accepted is in the statistics by then. Nothing
            happens before the first is asked for. `DecisionStream` keeps what the generator returns.

        Raises
        ------
        ValueError
            If the candidates lack what the selector goes by.
        """
        ...


def accept(
    index: int,
    candidate: Candidate,
    statistics: Mapping[Mode, SufficientStatistics],
    gain: float | None = None,
) -> Decision:
    """Let a candidate into the statistics; without a gain given, it is computed first."""
    gain = float(block_gains([candidate], statistics)[0]) if gain is None else gain
    for stats in statistics.values():
        stats.add(candidate.q)
    return Decision(index, candidate, Verdict.ACCEPTED, gain)


def used_up(n: int, budget: int | None) -> str:
    """Reason of an end for want of candidates; "" if the budget asks for no more."""
    return (
        ""
        if budget is None or n >= budget
        else f"all {n} candidates were taken, {budget} were wanted"
    )


def block_gains(
    block: Sequence[Candidate], statistics: Mapping[Mode, SufficientStatistics]
) -> np.ndarray:
    """ΔH (n,) of each candidate alone, in its own mode."""
    gains = np.empty(len(block))
    modes = [candidate.mode for candidate in block]
    for mode in set(modes):
        if mode not in statistics:
            key = block[modes.index(mode)].key
            raise ValueError(
                f"candidate {key!r} has mode {mode!r}; there are statistics of {sorted(statistics)}"
            )
        where = [place for place, each in enumerate(modes) if each == mode]
        gains[where] = statistics[mode].gains([block[place].q for place in where])
    return gains
