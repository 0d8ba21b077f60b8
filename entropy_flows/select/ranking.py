"""Two orders of judging: by a score that is renewed after each choice, and a fixed one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property

import numpy as np

from entropy_flows.select.base import Candidate, Pool
from entropy_flows.select.selector import DataSet, Proposal, Selector
from entropy_flows.select.space import FeatureSpace, summarise_pool


class Ranking:
    """A pool ranked by a selector's `score`, the largest first, the earlier one of equals.

    Attributes
    ----------
    candidates
        The pool.
    dataset
        Statistics and centres of the data set, accepted candidates included.
    uncertainty
        Committee's disagreement about each candidate (n,); None if the selector does not need it.
    sizes
        Numbers of atoms (n,).
    accepted
        Numbers of the candidates that were accepted, in their order.
    """

    best_first = True

    def __init__(self, selector: Selector, candidates: Pool, dataset: DataSet) -> None:
        self.selector = selector
        self.candidates = candidates
        self.dataset = dataset
        self.accepted: list[int] = []
        needs_uncertainty = selector.selector if selector.needs_committee else None
        summary = summarise_pool(candidates, needs_uncertainty)
        self.uncertainty = summary.uncertainty
        self.sizes = summary.sizes
        self._means = summary.means
        self._is_left = np.ones(len(candidates), dtype=bool)

    @cached_property
    def space(self) -> FeatureSpace:
        """Candidates as points, with the distance of each to the nearest cell of the data set."""
        space = FeatureSpace(self._means, self.dataset.centres)
        for index in self.accepted:
            space.add(index)
        return space

    def best(self) -> tuple[int, float]:
        """Return number and score of the candidate with the largest score."""
        scores = np.where(self._is_left, self.selector.score(self), -np.inf)
        index = int(np.argmax(scores))
        return index, float(scores[index])

    def propose(self) -> Proposal | None:
        """Return the candidate with the largest score."""
        if len(self.accepted) == len(self.candidates):
            return None
        index, score = self.best()
        return Proposal(index, self.candidates[index], score)

    def add(self, index: int) -> None:
        """Take a candidate off the ranking, and let distances to it count."""
        if "space" in vars(self):
            self.space.add(index)
        self.accepted.append(index)
        self._is_left[index] = False

    def why_none_left(self, accepted: int, budget: int | None) -> str:
        """Return that every candidate was taken."""
        return all_taken(accepted, budget)

    def why_stopped(self, proposal: Proposal) -> str:
        """Return the selector's reason."""
        return self.selector.why_stopped(self, proposal)


class InOrder:
    """Candidates in an order that does not change while they are accepted.

    Parameters
    ----------
    numbered
        Number in the pool and candidate, one after the other; read as they are asked for.
    reason
        Why there are no more than these, if it is not that the pool has no more.
    """

    best_first = False

    def __init__(self, numbered: Iterable[tuple[int, Candidate]], reason: str = "") -> None:
        self._numbered: Iterator[tuple[int, Candidate]] = iter(numbered)
        self._reason = reason

    def propose(self) -> Proposal | None:
        """Return the next candidate; each is worth accepting."""
        numbered = next(self._numbered, None)
        return None if numbered is None else Proposal(*numbered, score=np.inf)

    def add(self, index: int) -> None:
        """Leave the order as it is."""

    def why_none_left(self, accepted: int, budget: int | None) -> str:
        """Return the reason that was given, or that every candidate was taken."""
        return self._reason or all_taken(accepted, budget)

    def why_stopped(self, proposal: Proposal) -> str:
        """Return nothing: each candidate is worth accepting."""
        return ""


def all_taken(accepted: int, budget: int | None) -> str:
    """Return that the whole pool was taken and is too small for the budget; "" without one."""
    if budget is None:
        return ""
    return f"all {accepted} candidates were taken, {budget} were wanted"


def in_turn(candidates: Pool, order: Iterable[int]) -> Iterator[tuple[int, Candidate]]:
    """Iterate over candidates in an order, with their numbers; each is made when asked for."""
    for index in order:
        yield index, candidates[index]
