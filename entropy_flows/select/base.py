"""The protocol every selector obeys: candidates stream in, decisions stream out.

Nothing that grows with the number of candidates is kept, so that a million of them need the memory of one block.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
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
    """

    key: str
    q: np.ndarray
    mode: Mode


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
        Its place in the stream, from 0.
    candidate
        The candidate itself: whoever wants to keep what was accepted takes it from here.
    verdict
        What became of it.
    gain
        ΔH at the moment of judging.
    """

    index: int
    candidate: Candidate
    verdict: Verdict
    gain: float


class Selector(Protocol):
    """Judges candidates against the data set's statistics, one after the other.

    The statistics, one per mode, are updated in place: every accepted candidate enters all of them, since it will be
    in the training set whichever mode found it.
    """

    def __call__(
        self,
        candidates: Iterable[Candidate],
        statistics: Mapping[Mode, SufficientStatistics],
        budget: int | None = None,
    ) -> Iterator[Decision]:
        """Decide on each candidate in the order given; see `SelectParams.judging_order`.

        Parameters
        ----------
        candidates
            The pool; a generator will do. Read in blocks, a little ahead of judging.
        statistics
            Mode → statistics of everything in the data set so far.
        budget
            Most candidates to accept; None for no limit. Once it is spent, no more are read and no more decided on.

        Yields
        ------
        Decision
            On one candidate after the other; what is accepted is in the statistics by then. Nothing happens before
            the first is asked for.
        """
        ...


def block_gains(block: Sequence[Candidate], statistics: Mapping[Mode, SufficientStatistics]) -> np.ndarray:
    """ΔH (n,) of each candidate alone, in its own mode."""
    gains = np.empty(len(block))
    modes = [candidate.mode for candidate in block]
    for mode in set(modes):
        if mode not in statistics:
            key = block[modes.index(mode)].key
            raise ValueError(f"candidate {key!r} has mode {mode!r}; there are statistics of {sorted(statistics)}")
        where = [place for place, each in enumerate(modes) if each == mode]
        gains[where] = statistics[mode].gains([block[place].q for place in where])
    return gains
