"""Selectors with a target: what the model is made for, as cells.

The target is plain dynamics in a campaign, the pool itself, or the frames of a file. `mix` adds a
share of the pool to one of the others,

    target = (1 − mix) · target + mix · pool                                                     (1)

Target and data set are moments in the features of one basis, which is drawn from the target's
cells, once (`entropy.VarianceStatistics`). A selector says by a `CellTable` which cell comes next.
"""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np
from pydantic import Field, model_validator

from entropy_flows.conventions import Array
from entropy_flows.entropy import CellBasis, CellMeans, VarianceStatistics
from entropy_flows.entropy.basis import landmarks_for
from entropy_flows.select.base import Pool
from entropy_flows.select.cell_table import BLOCK, CellTable, TakenPoints, blocks, finalists
from entropy_flows.select.ranking import all_taken
from entropy_flows.select.selector import DataSet, Proposal, Scorer, Selector
from entropy_flows.select.targets import PLAIN, POOL

SAMPLE_SIZE = 10_000
"""Cells of a pool that stand for it as a target."""


class TargetSelector(Selector):
    """Base of selectors that choose for a target; a subclass names its table."""

    table: ClassVar[type[CellTable]]
    """What says which cell comes next."""

    target: str | None = None
    """What the model is for. plain: the snapshots of the campaign's dynamics at k = 0, with 0
    among `explore.entropy_weights`. pool: the candidates themselves. Else a file with frames of
    any format that ASE reads. None: plain in a campaign, pool without one."""
    mix: float = Field(0.0, ge=0, lt=1)
    """Share of the candidates themselves in the target, beside plain dynamics or a file."""
    length: float = Field(0.5, gt=0)
    """ℓ of the kernel, as a share of the median distance of two cells of the target."""
    noise: float = Field(0.3, gt=0)
    """σ² of a label, in units of the prior variance."""
    landmarks: int | None = Field(None, ge=1)
    """Number M of landmarks; None takes two for each label, and at least 400."""
    by_size: bool = True
    """Whether a cell weighs as its number of atoms, as its forces do in training. False where
    energies alone are learned."""
    refined: float = Field(0.0, ge=0, lt=1)
    """Share of a campaign's budget that is left to refinement: the last cells of the choice are
    moved uphill in their gain before they are labelled."""

    @model_validator(mode="after")
    def _mixes_two(self) -> Self:
        if self.target == "":
            raise ValueError("target is empty; expected plain, pool or a file")
        if self.target == POOL and self.mix:
            raise ValueError(f"mix is {self.mix:g}, and target is the pool itself; leave one out")
        return self

    @property
    def target_file(self) -> str | None:
        """File that the target is read from; None if it is none."""
        return None if self.target in (None, PLAIN, POOL) else self.target

    @property
    def needs_plain_dynamics(self) -> bool:
        """Return whether the target is plain dynamics, as it is in a campaign by default."""
        return self.target in (None, PLAIN)

    @property
    def is_for_others(self) -> bool:
        """Return whether the target is another than the candidates."""
        return self.target not in (None, POOL)

    def accepted_of(self, budget: int | None) -> int | None:
        """Return how many of the chosen are labelled as they are; the others are refined first."""
        return None if budget is None else max(1, round((1 - self.refined) * budget))

    def n_landmarks(self, budget: int | None) -> int:
        """Return M for a number of labels."""
        return self.landmarks or landmarks_for(budget or 0)

    def mixed(self, target: CellMeans, pool: CellMeans | None) -> tuple[CellMeans, Array]:
        """Return the cells that stand for the target, with their weights (n,), equation (1).

        Parameters
        ----------
        target
            Plain dynamics, the frames of a file, or the pool.
        pool
            The pool, for its share; None if it has none.
        """
        weights = np.full(len(target.means), 1.0 / max(1, len(target.means)))
        if not self.mix or pool is None or not len(pool.means):
            return target, weights
        number = max(1, round(len(weights) * self.mix / (1 - self.mix)))
        step = max(1, len(pool.means) // number)
        share = pool.take(slice(None, None, step))
        added = np.full(len(share.means), self.mix / len(share.means))
        return CellMeans.joined([target, share]), np.concatenate([(1 - self.mix) * weights, added])

    def statistics(
        self, target: CellMeans, pool: CellMeans | None, budget: int | None
    ) -> VarianceStatistics:
        """Draw a basis, and begin an empty data set for a target.

        Parameters
        ----------
        target, pool
            As of `mixed`.
        budget
            Labels that the basis is to tell apart; None for the fewest landmarks.
        """
        cells, weights = self.mixed(target, pool)
        basis = CellBasis.drawn(cells, self.n_landmarks(budget), self.length, self.by_size)
        return VarianceStatistics.of_target(basis, cells, self.noise, weights)

    def scorer(self, candidates: Pool, dataset: DataSet, budget: int | None) -> Scorer:
        """Return the candidates in the order of the table."""
        return TargetRanking(self, candidates, dataset, budget)

    def too_little(self, left: int, score: float) -> str:
        """Return why the selection ends with a best candidate that scores too little."""
        return f"the best of the {left} candidates left scores {score:.2g}"


class TargetRanking:
    """A pool ranked by a table.

    Attributes
    ----------
    unknown
        Data set and target, accepted candidates included; None for an empty pool.
    """

    best_first = True

    def __init__(
        self,
        selector: TargetSelector,
        candidates: Pool,
        dataset: DataSet,
        budget: int | None,
    ) -> None:
        self.unknown = dataset.variance
        self._selector = selector
        self._candidates = candidates
        self._n_taken = 0
        self._table: CellTable | None = None
        if not len(candidates):
            return
        if self.unknown is None:
            self.unknown = statistics_of_pool(selector, candidates, dataset, budget)
        basis = self.unknown.basis
        centres = np.empty((0, 0)) if dataset.centres is None else dataset.centres
        taken = TakenPoints(basis.points(centres) if len(centres) else centres)
        kind = selector.table
        self._indices, cells = finalists(
            candidates, len(candidates), self.unknown, taken, budget, kind
        )
        self._table = kind(self.unknown, cells, taken)
        self._rows = {index: row for row, index in enumerate(self._indices.tolist())}

    def propose(self) -> Proposal | None:
        """Return the candidate that scores most; None if only copies are left."""
        best = None if self._table is None else self._table.best()
        if best is None:
            return None
        row, score = best
        index = int(self._indices[row])
        return Proposal(index, self._candidates[index], score)

    def add(self, index: int) -> None:
        """Take a candidate into the data set, and renew the others' scores."""
        assert self._table is not None, "what is taken was proposed from it"
        self._table.take(self._rows[index])
        self._n_taken += 1

    def why_none_left(self, accepted: int, budget: int | None) -> str:
        """Return that every candidate was taken, or that only copies are left."""
        left = len(self._candidates) - self._n_taken
        if not left:
            return all_taken(accepted, budget)
        return f"the other {left} candidates are copies of cells that were taken or known"

    def why_stopped(self, proposal: Proposal) -> str:
        """Return the selector's reason."""
        left = len(self._candidates) - self._n_taken
        return self._selector.too_little(left, proposal.score)


def statistics_of_pool(
    selector: TargetSelector, candidates: Pool, dataset: DataSet, budget: int | None
) -> VarianceStatistics:
    """Draw a basis from a pool that is its own target, and let the data set in.

    Raises
    ------
    ValueError
        If the target is another one: whoever has its cells gives `DataSet.variance`.
    """
    if selector.is_for_others:
        raise ValueError(
            f"target {selector.target!r} needs its cells, which a pool alone does not have"
        )
    pool = sample_of(candidates)
    statistics = selector.statistics(pool, None, budget)
    centres = dataset.centres
    if centres is not None and len(centres):
        if centres.shape[1] != pool.means.shape[1]:
            raise ValueError(
                f"the data set's fingerprints have length {centres.shape[1]}, "
                f"the pool's {pool.means.shape[1]}"
            )
        size = _mean_size(dataset, len(centres)) or float(pool.sizes.mean())
        statistics.add_cells(CellMeans(centres, np.full(len(centres), size)))
    return statistics


def sample_of(candidates: Pool) -> CellMeans:
    """Return all of a small pool, or an evenly spread part of a large one."""
    step = -(-len(candidates) // SAMPLE_SIZE)
    cells = candidates
    if step > 1:
        cells = [candidates[index] for index in range(0, len(candidates), step)]
    return CellMeans.joined(list(blocks(cells, BLOCK)))


def _mean_size(dataset: DataSet, n_cells: int) -> float | None:
    """Return the mean size of the data set's cells, of which the atoms are counted alone."""
    statistics = dataset.statistics.get("atom")
    return statistics.n / n_cells if statistics is not None and statistics.n else None
