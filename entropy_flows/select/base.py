"""The protocol every selector obeys."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np

from entropy_flows.entropy import SufficientStatistics


@dataclass(frozen=True)
class Candidate:
    """A snapshot that may be labelled.

    Attributes
    ----------
    key
        Name within the campaign; the order of selection never depends on it.
    q
        Fingerprints (n_atoms, dim).
    mode
        Covariance mode its gain is judged in: "atom" or "config".
    """

    key: str
    q: np.ndarray
    mode: str


class Verdict(StrEnum):
    """What became of a candidate."""

    ACCEPTED = "accepted"
    NEAR = "near"
    REJECTED = "rejected"
    SPENT = "spent"
    """Not judged, because the budget was spent before its turn."""


@dataclass(frozen=True)
class Decision:
    """A candidate's verdict and its gain ΔH at the moment of judging (nan if not judged)."""

    index: int
    verdict: Verdict
    gain: float


class Selector(Protocol):
    """Judges candidates against the data set's statistics.

    The statistics, one per mode, are updated in place: every accepted candidate enters all of them, since it will be
    in the training set whichever mode found it.
    """

    def __call__(
        self,
        candidates: Sequence[Candidate],
        statistics: Mapping[str, SufficientStatistics],
        budget: int,
        rng: np.random.Generator,
        on_decision: Callable[[Decision], None] | None = None,
    ) -> list[Decision]:
        """Decide on each candidate, in the order in which they were judged.

        Parameters
        ----------
        candidates
            The pool.
        statistics
            Mode → statistics of everything in the data set so far.
        budget
            Most candidates to accept.
        rng
            Source of anything random in the order or the choice.
        on_decision
            Called after each decision, for progress.
        """
        ...
