"""What goes into a selector and what comes out: candidates, decisions, gains."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

import numpy as np

from entropy_flows.conventions import Array
from entropy_flows.entropy import Criterion, Mode
from entropy_flows.entropy.blocks import weights

Statistics = Mapping[Mode, Criterion]
"""Mode → measure of everything in the data set: statistics with its log det Σ."""


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
        Disagreement of a committee's members about it; None without a committee.
    n_atoms
        Number of atoms, where `q` is their mean alone; None if it has all of them.
    mean
        Mean of `q` over the atoms (1, dim), of a candidate that is judged by it: kept, for it is
        judged again after each acceptance. None in mode "atom".
    """

    key: str
    q: np.ndarray
    mode: Mode
    uncertainty: float | None = None
    n_atoms: int | None = None
    mean: np.ndarray | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Take the mean."""
        q = np.asarray(self.q)
        has_mean = self.mode == "config" and q.ndim == 2 and len(q) > 0
        object.__setattr__(self, "mean", weights(len(q)) @ q if has_mean else None)

    @property
    def centre(self) -> np.ndarray:
        """Mean of `q` over the atoms (dim,), in either mode."""
        mean = weights(len(self.q)) @ self.q if self.mean is None else self.mean
        centre: np.ndarray = mean[0]
        return centre

    @property
    def size(self) -> int:
        """Number of atoms."""
        return self.n_atoms or len(self.q)


class Verdict(StrEnum):
    """The three things that can become of a candidate."""

    ACCEPTED = "accepted"
    NEAR_MISS = "near miss"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Decision:
    """A candidate's verdict.

    Attributes
    ----------
    index
        Number of the candidate in the pool, from 0.
    candidate
        The candidate itself: whoever wants to keep what was accepted takes it from here.
    verdict
        Accepted, near miss or rejected.
    gain
        ΔH at the moment of judging, whatever the selector goes by.
    score
        What the selector goes by, at that moment.
    """

    index: int
    candidate: Candidate
    verdict: Verdict
    gain: float
    score: float = float("nan")


Decisions = Generator[Decision, None, str]
"""Decisions one after the other. The generator returns the reason why they ended before the budget
was spent, or "".
"""


class DecisionStream:
    """Iterate over decisions and keep the reason of their end.

    Attributes
    ----------
    reason
        After the iteration: why it ended before the budget was spent, or "".
    """

    def __init__(self, decisions: Decisions) -> None:
        self._decisions = decisions
        self.reason = ""

    def __iter__(self) -> Iterator[Decision]:
        self.reason = yield from self._decisions


class Pool(Protocol):
    """Candidates: a list, or something that makes them when they are asked for."""

    def __len__(self) -> int:
        """Return the number of candidates."""
        ...

    def __iter__(self) -> Iterator[Candidate]:
        """Iterate over all candidates in the order of judging."""
        ...

    def __getitem__(self, index: int) -> Candidate:
        """Return one candidate."""
        ...


def block_gains(block: Sequence[Candidate], statistics: Statistics) -> Array:
    """Return ΔH (n,) of each candidate alone, in its own mode."""
    gains = np.empty(len(block))
    modes = [candidate.mode for candidate in block]
    for mode in set(modes):
        if mode not in statistics:
            key = block[modes.index(mode)].key
            raise ValueError(
                f"candidate {key!r} has mode {mode!r}; there are statistics of {sorted(statistics)}"
            )
        indices = [index for index in range(len(block)) if modes[index] == mode]
        criterion = statistics[mode]
        gains[indices] = criterion.gains([_judged(block[index], criterion) for index in indices])
    return gains


def _judged(candidate: Candidate, criterion: Criterion) -> Array:
    """Return the fingerprints by which a candidate is judged: its mean, or all of them."""
    has_mean = criterion.is_of_means and candidate.mean is not None
    return candidate.mean if has_mean else candidate.q  # type: ignore[return-value]
