"""The selection job: judge an iteration's candidates and append the accepted to the ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from ase import Atoms

from entropy_flows import progress
from entropy_flows.conventions import Array
from entropy_flows.entropy import VarianceStatistics
from entropy_flows.evaluate.committee import Committee
from entropy_flows.fingerprints import Fingerprint
from entropy_flows.geometry import to_structure
from entropy_flows.jobs.common import LostInputError, StageMaker, documents, stage_job
from entropy_flows.jobs.context import IterationContext
from entropy_flows.jobs.explore import origin, snapshots
from entropy_flows.jobs.target import Snapshot, target_variance
from entropy_flows.schemas import ExploreDoc, SelectDoc
from entropy_flows.select import (
    Candidate,
    DataSet,
    Decision,
    DecisionStream,
    LogDetSelector,
    Selector,
    TargetSelector,
    Verdict,
)
from entropy_flows.select.committee import uncertain_quantity
from entropy_flows.settings import settings
from entropy_flows.store import CampaignStore, Entry, Ledger

FINGERPRINT_BATCH = 256
"""Cells whose fingerprints are computed in one call, and held until they are judged."""
Spread = Callable[[Sequence[Atoms]], np.ndarray]
"""Gives each of some cells its uncertainty (n,)."""


@dataclass
class _Selection:
    """The decisions of a selection as they come in.

    Attributes
    ----------
    limit
        Cells to accept; what is chosen beyond is for refinement. None for no limit.
    """

    limit: int | None = None
    entries: list[Entry] = field(default_factory=list)
    gains: list[float] = field(default_factory=list)
    near_misses: list[dict[str, Any]] = field(default_factory=list)
    verdicts: Counter[Verdict] = field(default_factory=Counter)

    def add(self, decision: Decision, snapshot: Snapshot, model: str) -> None:
        """Take in one decision."""
        verdict = decision.verdict
        if verdict is Verdict.ACCEPTED and len(self.entries) == self.limit:
            verdict = Verdict.NEAR_MISS
        self.verdicts[verdict] += 1
        source = origin(snapshot.run, snapshot.step, model)
        structure = to_structure(snapshot.atoms)
        if verdict is Verdict.ACCEPTED:
            self.gains.append(decision.gain)
            q = decision.candidate.q
            self.entries.append(Entry(snapshot.key, structure, q, decision.gain, source))
        elif verdict is Verdict.NEAR_MISS:
            miss = {"key": snapshot.key, "origin": source, "structure": structure}
            self.near_misses.append(miss)

    def counts(self) -> dict[str, Any]:
        """Return the fields of a `SelectDoc` that follow from the decisions alone."""
        return {
            "accepted": len(self.entries),
            "near_misses": len(self.near_misses),
            "rejected": self.verdicts[Verdict.REJECTED],
            "gains": self.gains,
            "trajectories": self.near_misses,
        }


def with_variance_gains(
    entries: Sequence[Entry], variance: VarianceStatistics | None
) -> list[Entry]:
    """Return entries with what each takes off the unknown of a target, one after the other.

    A selector's scores may be others: some choose more cells first, and let go of the rest.
    """
    assert variance is not None, "the target was stored before the choice"
    return [replace(entry, variance_gain=variance.admit(entry.q)) for entry in entries]


def state_after(ledger: Ledger, iteration: int, stage: str = "refine") -> dict[str, Any]:
    """Return log det Σ and the unknown of the target before a stage, as documents have them.

    What waits for refinement is not in the ledger: the statistics of a selection are others.
    """
    variance = ledger.variance(iteration, stage)
    statistics = ledger.statistics(iteration, stage)
    return {
        "entropy_after": {mode: stats.entropy() for mode, stats in statistics.items()},
        "variance_after": None if variance is None else variance.value(),
    }


@dataclass
class SelectMaker(StageMaker):
    """Select from what was explored.

    Parameters
    ----------
    name
        Job name.
    params
        Selector, threshold, and the budget of an iteration.
    """

    name: str = "select"
    params: Selector = field(default_factory=LogDetSelector)

    @stage_job(SelectDoc)
    def make(
        self,
        context: IterationContext,
        *,
        explored: Sequence[ExploreDoc | None],
        budget: int | None,
    ) -> SelectDoc:
        """Judge every snapshot of the batches.

        Parameters
        ----------
        context
            Constants of the iteration.
        explored
            Documents of the batches; None for a lost one.
        budget
            Most structures to accept; None for no limit.

        Raises
        ------
        LostInputError
            If no batch left a document.
        """
        batches = documents(ExploreDoc, explored)
        if not batches:
            raise LostInputError("every exploration batch failed; see the failed explore jobs")
        store = CampaignStore.open(context.campaign)
        ledger = store.ledger(context.dataset)
        statistics = ledger.statistics(context.iteration, self.name)
        entropy_before = {mode: stats.entropy() for mode, stats in statistics.items()}
        pool = snapshots_of(batches)
        stream = np.random.default_rng([context.seed, context.iteration, len(pool)])
        order = self.params.judging_order(len(pool), stream)
        variance = None
        if isinstance(self.params, TargetSelector):
            variance = target_variance(ledger, context, self.params, pool, budget)
        variance_before = None if variance is None else variance.value()
        dataset = DataSet(statistics, self._centres(ledger, context), variance)
        decisions = self._decisions(store, ledger, context.model, pool, order, dataset, budget)
        selection = _Selection(self.params.accepted_of(budget))
        for decision in decisions:
            selection.add(decision, pool[order[decision.index]], context.model)
            accepted = f"{len(selection.entries)} accepted"
            progress.report(selection.verdicts.total(), len(pool), "candidates", accepted)
        entries = selection.entries
        if variance is not None:
            entries = with_variance_gains(entries, ledger.variance(context.iteration, self.name))
        ledger.append_accepted(context.iteration, self.name, entries)
        result = SelectDoc(
            iteration=context.iteration,
            candidates=len(pool),
            spent=len(pool) - selection.verdicts.total(),
            reason=decisions.reason,
            entropy_before=entropy_before,
            variance_before=variance_before,
            **selection.counts(),
            **state_after(ledger, context.iteration),
        )
        runs = [run.model_dump() for batch in batches for run in batch.runs]
        summary = result.model_dump(exclude={"trajectories"})
        store.record(context.iteration, select=summary, runs=runs)
        return result

    def _decisions(
        self,
        store: CampaignStore,
        ledger: Ledger,
        model: str,
        pool: Sequence[Snapshot],
        order: Sequence[int],
        dataset: DataSet,
        budget: int | None,
    ) -> DecisionStream:
        """Have the selector judge the pool; the data set grows with what it accepts."""
        selector, spread = self._committee(store, model)
        candidates = LazyCandidates(pool, order, ledger.fingerprint, spread)
        decisions = selector(
            candidates, dataset.statistics, budget, dataset.centres, dataset.variance
        )
        return DecisionStream(decisions)

    def _centres(self, ledger: Ledger, context: IterationContext) -> Array | None:
        """Return the mean fingerprints (n, dim) of the data set, if the selector needs them."""
        needs_centres = self.params.needs_centres
        return ledger.means(context.iteration, self.name) if needs_centres else None

    def _committee(self, store: CampaignStore, model: str) -> tuple[Selector, Spread | None]:
        """Return the selector, and what gives cells their uncertainty if it needs that.

        The committee is that of the model that explored. A model that was not trained here (the
        base model, the student) has none, and the choice falls back on the paper's filter.
        """
        if not self.params.needs_committee:
            return self.params, None
        trained_in = store.model_iteration(model)
        if trained_in < 1:
            limits = self.params.model_dump(include={"theta_min", "max_labels"})
            return LogDetSelector(**limits), None
        members = store.committee(trained_in)
        if len(members) < 2:
            raise ValueError(
                f"selector {self.params.selector!r} needs two models or more of iteration "
                f"{trained_in}, there is {len(members)}: is train.committee set, and did its "
                "members fail?"
            )
        committee = Committee([store.fetch_model(member) for member in members], settings().device)
        return self.params, partial(committee.spread, quantity=uncertain_quantity(self.params))


def snapshots_of(batches: Iterable[ExploreDoc]) -> list[Snapshot]:
    """Collect everything that was explored, in the order of exploring."""
    return [
        Snapshot(f"{doc.iteration:03d}/explore/{run.index:05d}/{step:05d}", run, step, atoms)
        for doc in batches
        for run, step, atoms, _ in snapshots(doc)
    ]


@dataclass(frozen=True)
class LazyCandidates:
    """The pool in the order of judging; fingerprints are computed when asked for, and not held.

    Attributes
    ----------
    pool, order
        Snapshots, and their indices in the order of judging.
    fingerprint
        Fingerprint of the data set.
    spread
        Gives each of some cells its uncertainty (n,); None for no uncertainties.
    """

    pool: Sequence[Snapshot]
    order: Sequence[int]
    fingerprint: Fingerprint
    spread: Spread | None = None

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[Candidate]:
        for start in range(0, len(self.order), FINGERPRINT_BATCH):
            indices = self.order[start : start + FINGERPRINT_BATCH]
            yield from self._candidates(indices, self.spread)

    def __getitem__(self, index: int) -> Candidate:
        """Return one candidate, without its uncertainty, which the selector has had."""
        return next(self._candidates([self.order[index]], None))

    def _candidates(self, indices: Sequence[int], spread: Spread | None) -> Iterator[Candidate]:
        batch = [self.pool[index] for index in indices]
        cells = [snapshot.atoms for snapshot in batch]
        uncertainties = [None] * len(cells) if spread is None else spread(cells).tolist()
        fingerprints = self.fingerprint(cells)
        for snapshot, q, uncertainty in zip(batch, fingerprints, uncertainties, strict=True):
            yield Candidate(snapshot.key, q, snapshot.run.mode, uncertainty)
