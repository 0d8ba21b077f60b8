"""The selection job: judge an iteration's candidates and append the accepted to the ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from entropy_flows import progress
from entropy_flows.entropy import VarianceStatistics
from entropy_flows.geometry import to_structure
from entropy_flows.jobs.common import LostInputError, StageMaker, documents, stage_job
from entropy_flows.jobs.context import IterationContext
from entropy_flows.jobs.explore import origin
from entropy_flows.jobs.judging import Judging, snapshots_of
from entropy_flows.jobs.target import Snapshot, target_variance
from entropy_flows.schemas import ExploreDoc, SelectDoc
from entropy_flows.select import (
    Decision,
    LogDetSelector,
    Selector,
    TargetSelector,
    Verdict,
)
from entropy_flows.store import CampaignStore, Entry, Ledger


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
        variance = None
        if isinstance(self.params, TargetSelector):
            variance = target_variance(ledger, context, self.params, pool, budget)
        variance_before = None if variance is None else variance.value()
        judging = Judging(store, ledger, context, self.name)
        ordered, decisions = judging.judge(self.params, pool, statistics, variance, budget)
        selection = _Selection(self.params.accepted_of(budget))
        for decision in decisions:
            selection.add(decision, ordered[decision.index], context.model)
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
