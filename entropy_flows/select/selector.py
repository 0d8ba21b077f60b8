"""The loop of every selector. A selector is a score and a threshold.

    while there is budget:  take the next proposal c of the scorer
                            score(c) > threshold    accept c, add it to the data set
                            otherwise               reject c, or stop as the best       (1)

A `Scorer` says which candidate comes next and with what score. Most selectors take the candidate
with the largest score (`ranking.Ranking`): they define `score` and `threshold` alone. `logdet`
takes the candidates in their order, in one pass; `greedy` finds the largest gain without asking
every candidate for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
from pydantic import Field, model_validator

from entropy_flows.conventions import Array
from entropy_flows.params import Params
from entropy_flows.select.base import (
    Candidate,
    Decision,
    Decisions,
    Pool,
    Statistics,
    Verdict,
    block_gains,
)

if TYPE_CHECKING:
    from entropy_flows.entropy import VarianceStatistics
    from entropy_flows.select.ranking import Ranking


ANY_GAIN = float(np.nextafter(0.0, 1.0))
"""Smallest threshold: what gains nothing, as a copy does, is not above it."""


@dataclass(frozen=True)
class DataSet:
    """The data set that candidates are judged against."""

    statistics: Statistics
    """Mode → its statistics; accepted candidates enter all of them."""
    centres: Array | None = None
    """Mean fingerprints (n, dim) of its cells; None if there are none or they are not needed."""
    variance: VarianceStatistics | None = None
    """What it leaves unknown of a target, for selectors with one; what is accepted enters it."""

    @property
    def is_empty(self) -> bool:
        """Return whether the data set has no cell yet."""
        return all(stats.n == 0 for stats in self.statistics.values())


@dataclass(frozen=True, slots=True)
class Proposal:
    """The candidate that is judged next."""

    index: int
    """Number of the candidate in the pool, from 0."""
    candidate: Candidate
    score: float
    """Score to compare with the selector's threshold."""
    gain: float | None = None
    """ΔH, where the scorer knows it already."""


class Scorer(Protocol):
    """The order of judging, and scores that follow the growing data set."""

    best_first: bool
    """Whether no later proposal scores more, so that the first rejection ends the selection."""

    def propose(self) -> Proposal | None:
        """Return the next candidate with its score; None if there is none left."""
        ...

    def add(self, index: int) -> None:
        """Take note that a candidate is about to enter the data set."""
        ...

    def why_none_left(self, accepted: int, budget: int | None) -> str:
        """Return why there are no more proposals; "" if that is no matter without a budget."""
        ...

    def why_stopped(self, proposal: Proposal) -> str:
        """Return why the selection ends with a best proposal that scores too little."""
        ...


class Selector(Params):
    """Base of all selectors: the parameters of the selection stage, and the loop that decides.

    A new selector is a subclass with fields of its own and a `score`; `docs/extending.md` shows
    one.
    """

    selector: str = ""
    """Which selector, `logdet` if none is named: `logdet`, `greedy`, `farthest`, `kcentres`,
    `kmeans`, `committee`, `hybrid`, `variance`, `llpr`, `bait`, `facility`, `herding`, `kdpp`,
    `direct`, `random`; the name of an entry point in the group
    `entropy_flows.selectors`; or the import path of a class, as "mypackage:Mine"."""
    theta_min: float | None = Field(1e-3, gt=0)
    """Smallest gain ΔH worth a label: of logdet and greedy, and of refinement with any selector.
    None: there is no such limit, and greedy spends all of its budget; for comparing sets of one
    size."""
    max_labels: int | None = Field(None, ge=1)
    """Most labels of one iteration, anchors included; None leaves the campaign's budget as the
    only limit.
    """

    needs_committee: ClassVar[bool] = False
    """Whether candidates must have uncertainties."""
    is_one_pass: ClassVar[bool] = False
    """Whether it reads candidates once, in their order, so that they need not be held."""
    needs_centres: ClassVar[bool] = True
    """Whether `DataSet.centres` are needed: distances to the cells in the data set."""

    @property
    def needs_plain_dynamics(self) -> bool:
        """Return whether a campaign needs dynamics at k = 0 for it."""
        return False

    @property
    def threshold(self) -> float:
        """Score that a candidate must exceed; a subclass may have a number here."""
        return -np.inf

    @model_validator(mode="before")
    @classmethod
    def _name_itself(cls, data: Any) -> Any:
        """Fill in the name, so that the parameters are read back as the class that they are."""
        if not isinstance(data, dict):
            return data
        name = cls.model_fields["selector"].default or f"{cls.__module__}:{cls.__qualname__}"
        return {"selector": name, **data}

    def score(self, pool: Ranking) -> Array:
        """Return the score (n,) of every candidate now; the largest is taken.

        It is called before each choice. Scores of candidates that were taken are not looked at.
        """
        raise NotImplementedError(f"{type(self).__name__} defines neither `score` nor `scorer`")

    def scorer(self, candidates: Pool, dataset: DataSet, budget: int | None) -> Scorer:
        """Return the order of judging: by `score`, the largest first."""
        from entropy_flows.select.ranking import Ranking

        return Ranking(self, candidates, dataset)

    def verdict(self, score: float) -> Verdict:
        """Compare a score with the threshold."""
        return Verdict.ACCEPTED if score > self.threshold else Verdict.REJECTED

    def why_stopped(self, pool: Ranking, proposal: Proposal) -> str:
        """Return why the selection ends with a best proposal that scores too little."""
        left = len(pool.candidates) - len(pool.accepted)
        return (
            f"the best of the {left} candidates left scores {proposal.score:.2g}, "
            f"no more than {self.threshold:g}"
        )

    def accepted_of(self, budget: int | None) -> int | None:
        """Return how many of the chosen are labelled as they are; the others are refined first."""
        return budget

    def for_replacements(self) -> Selector:
        """Return the selector that replaces failed labels of what was left over: this one."""
        return self

    def check(self) -> None:
        """Raise a ValueError now if a package is missing that the selector needs."""

    def judging_order(self, n: int, rng: np.random.Generator) -> list[int]:
        """Return the order in which n candidates are judged: a random one."""
        return rng.permutation(n).tolist()

    def __call__(
        self,
        candidates: Pool,
        statistics: Statistics,
        budget: int | None = None,
        centres: Array | None = None,
        variance: VarianceStatistics | None = None,
    ) -> Decisions:
        """Decide on candidates, equation (1).

        Parameters
        ----------
        candidates
            The pool, in the order of `judging_order`. `logdet` and `random` read it in blocks, a
            little ahead of judging, and take any iterable; the others read all of it once, and the
            chosen ones again.
        statistics
            Mode → statistics of everything in the data set so far. They are updated in place: an
            accepted candidate enters all of them, since it will be in the training set whichever
            mode found it.
        budget
            Most candidates to accept; None for no limit. Once it is spent, no more are decided on.
        centres
            Mean fingerprints (n, dim) of the cells in the data set, for selectors that measure
            distances; None if there are none.
        variance
            What the data set leaves unknown of a target, for selectors with one, whose choices
            enter it. None lets the pool be the target.

        Yields
        ------
        Decision
            Decision on one candidate after the other; what is accepted is in the statistics by
            then. Nothing happens before the first is asked for. `DecisionStream` keeps what the
            generator returns.

        Raises
        ------
        ValueError
            If the candidates lack what the selector goes by.
        """
        scorer = self.scorer(candidates, DataSet(statistics, centres, variance), budget)
        accepted = 0
        while budget is None or accepted < budget:
            proposal = scorer.propose()
            if proposal is None:
                return scorer.why_none_left(accepted, budget)
            index, candidate, gain = proposal.index, proposal.candidate, proposal.gain
            verdict = self.verdict(proposal.score)
            if verdict is not Verdict.ACCEPTED and scorer.best_first:
                return scorer.why_stopped(proposal)
            if gain is None:
                gain = float(block_gains([candidate], statistics)[0])
            if verdict is Verdict.ACCEPTED:
                accepted += 1
                scorer.add(index)
                for stats in statistics.values():
                    stats.add(candidate.q)
            yield Decision(index, candidate, verdict, gain, proposal.score)
        return ""
