"""Judging cells by a selector, against the data set as it is before a stage of an iteration."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from ase import Atoms

from entropy_flows.conventions import Array
from entropy_flows.entropy import VarianceStatistics
from entropy_flows.evaluate.committee import Committee
from entropy_flows.fingerprints import Fingerprint
from entropy_flows.jobs.context import IterationContext
from entropy_flows.jobs.explore import snapshots
from entropy_flows.jobs.target import Snapshot
from entropy_flows.schemas import ExploreDoc
from entropy_flows.select import Candidate, DecisionStream, LogDetSelector, Selector
from entropy_flows.select.base import Statistics
from entropy_flows.select.committee import uncertain_quantity
from entropy_flows.settings import settings
from entropy_flows.store import CampaignStore, Ledger

FINGERPRINT_BATCH = 256
"""Cells whose fingerprints are computed in one call, and held until they are judged."""
Spread = Callable[[Sequence[Atoms]], np.ndarray]
"""Gives each of some cells its uncertainty (n,)."""


@dataclass(frozen=True)
class Judging:
    """The campaign as a selector sees it, beside the cells.

    Attributes
    ----------
    store, ledger
        The campaign and its data set.
    context
        Constants of the iteration.
    stage
        The stage: what is in the data set before it counts.
    """

    store: CampaignStore
    ledger: Ledger
    context: IterationContext
    stage: str

    def judge(
        self,
        selector: Selector,
        pool: Sequence[Snapshot],
        statistics: Statistics,
        variance: VarianceStatistics | None,
        budget: int | None,
        replacing: bool = False,
    ) -> tuple[list[Snapshot], DecisionStream]:
        """Have a selector judge cells; the data set grows with what it accepts.

        Parameters
        ----------
        selector
            The selector, as it is in the campaign file.
        pool
            The cells.
        statistics, variance
            The data set before the stage, and what it leaves unknown of the selector's target.
        budget
            Most cells to accept; None for no limit.
        replacing
            Whether the cells are what is left over, to replace failed labels.

        Returns
        -------
        list
            The cells in the order of judging.
        DecisionStream
            The decisions; their indices count in that order.

        Raises
        ------
        ValueError
            If the selector needs a committee and there is none.
        """
        stream = np.random.default_rng([self.context.seed, self.context.iteration, len(pool)])
        order = selector.judging_order(len(pool), stream)
        ordered = [pool[index] for index in order]
        selector, spread = self._with_committee(selector)
        if replacing:
            selector = selector.for_replacements()
        candidates = LazyCandidates(ordered, self.ledger.fingerprint, spread)
        centres = self._centres() if selector.needs_centres else None
        decisions = selector(candidates, statistics, budget, centres, variance)
        return ordered, DecisionStream(decisions)

    def _centres(self) -> Array | None:
        """Return the mean fingerprints (n, dim) of the data set."""
        return self.ledger.means(self.context.iteration, self.stage)

    def _with_committee(self, selector: Selector) -> tuple[Selector, Spread | None]:
        """Return the selector, and what gives cells their uncertainty if it needs that.

        The committee is that of the model that explored. A model that was not trained here (the
        base model, the student) has none, and the choice falls back on the paper's filter.
        """
        if not selector.needs_committee:
            return selector, None
        trained_in = self.store.model_iteration(self.context.model)
        if trained_in < 1:
            limits = selector.model_dump(include={"theta_min", "max_labels"})
            return LogDetSelector(**limits), None
        members = self.store.committee(trained_in)
        if len(members) < 2:
            raise ValueError(
                f"selector {selector.selector!r} needs two models or more of iteration "
                f"{trained_in}, there is {len(members)}: is train.committee set, and did its "
                "members fail?"
            )
        models = [self.store.fetch_model(member) for member in members]
        committee = Committee(models, settings().device)
        return selector, partial(committee.spread, quantity=uncertain_quantity(selector))


@dataclass(frozen=True)
class LazyCandidates:
    """Cells in the order of judging; fingerprints are computed when asked for, and not held.

    Attributes
    ----------
    cells
        The cells.
    fingerprint
        Fingerprint of the data set.
    spread
        Gives each of some cells its uncertainty (n,); None for no uncertainties.
    """

    cells: Sequence[Snapshot]
    fingerprint: Fingerprint
    spread: Spread | None = None

    def __len__(self) -> int:
        return len(self.cells)

    def __iter__(self) -> Iterator[Candidate]:
        for start in range(0, len(self.cells), FINGERPRINT_BATCH):
            yield from self._candidates(self.cells[start : start + FINGERPRINT_BATCH], self.spread)

    def __getitem__(self, index: int) -> Candidate:
        """Return one candidate, without its uncertainty, which the selector has had."""
        return next(self._candidates([self.cells[index]], None))

    def _candidates(self, batch: Sequence[Snapshot], spread: Spread | None) -> Iterator[Candidate]:
        cells = [snapshot.atoms for snapshot in batch]
        uncertainties = [None] * len(cells) if spread is None else spread(cells).tolist()
        fingerprints = self.fingerprint(cells)
        for snapshot, q, uncertainty in zip(batch, fingerprints, uncertainties, strict=True):
            yield Candidate(snapshot.key, q, snapshot.run.mode, uncertainty)


def snapshots_of(batches: Iterable[ExploreDoc]) -> list[Snapshot]:
    """Collect everything that was explored, in the order of exploring."""
    return [
        Snapshot(f"{doc.iteration:03d}/explore/{run.index:05d}/{step:05d}", run, step, atoms)
        for doc in batches
        for run, step, atoms, _ in snapshots(doc)
    ]
