"""The job that replaces failed labels by the best candidates that were left over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from jobflow import Response

from entropy_flows.geometry import to_structure
from entropy_flows.jobs.common import StageMaker, documents, stage_job
from entropy_flows.jobs.context import IterationContext
from entropy_flows.jobs.explore import origin
from entropy_flows.jobs.gather import label_counts
from entropy_flows.jobs.judging import Judging, snapshots_of
from entropy_flows.jobs.plan import PlanMaker
from entropy_flows.jobs.select import with_variance_gains
from entropy_flows.schemas import ExploreDoc, LabelDoc
from entropy_flows.schemas.stages import PLANNED_STAGES, top_up_stage
from entropy_flows.select import LogDetSelector, Selector, TargetSelector, Verdict
from entropy_flows.store import CampaignStore, Entry


@dataclass
class TopUpMaker(StageMaker):
    """Ask for as many labels again as have failed.

    Parameters
    ----------
    name
        Job name, and the stage of the ledger: `top_up_1`, `top_up_2`, …
    select
        The iteration's selector.
    plan
        The Maker that plans labels, with the static Maker in it.
    """

    name: str = top_up_stage(1)
    select: Selector = field(default_factory=LogDetSelector)
    plan: PlanMaker = field(default_factory=PlanMaker)

    @stage_job(LabelDoc, adds_jobs=True)
    def make(
        self,
        context: IterationContext,
        *,
        labels: LabelDoc | None,
        explored: Sequence[ExploreDoc | None],
    ) -> Response[LabelDoc] | LabelDoc:
        """Choose replacements and plan their labels.

        Parameters
        ----------
        context
            Constants of the iteration.
        labels
            Document of the labels before, for which this job waits.
        explored
            Documents of the exploration's batches; None for a lost one.
        """
        store = CampaignStore.open(context.campaign)
        ledger = store.ledger(context.dataset)
        iteration = context.iteration
        start = ledger.position(iteration, PLANNED_STAGES[0])
        planned = ledger.position(iteration, top_up_stage(1)) - start
        before = ledger.position(iteration, self.name) - start
        earlier = [entry["_id"] for entry in ledger.entries(iteration=iteration)][:before]
        counts = label_counts(
            store.outcomes(earlier, context.engine_hash).values(), iteration, before
        )
        # what failed in an earlier round was replaced there
        missing = planned - counts.labelled
        entries = self._replacements(store, context, explored, missing) if missing else []
        ledger.append_accepted(iteration, self.name, entries)
        summary = {"missing": missing, "replaced": len(entries)}
        store.record(iteration, **{f"top_up.{self.name}": summary})
        if not entries:
            return counts
        rows = list(ledger.entries(iteration=iteration, stage=self.name))
        store.record(iteration, **{"label.requested": before + len(rows)})
        return Response(output=counts, detour=self.plan.label_flow(context, rows, before))

    def _replacements(
        self,
        store: CampaignStore,
        context: IterationContext,
        explored: Sequence[ExploreDoc | None],
        number: int,
    ) -> list[Entry]:
        """Choose the best of what was explored and is not in the data set, refined or not."""
        ledger = store.ledger(context.dataset)
        iteration = context.iteration
        others = ledger.entries(iteration=iteration, stage={"$ne": self.name})
        taken = {entry["key"].replace("/refine/", "/explore/") for entry in others}
        batches = documents(ExploreDoc, explored)
        pool = [snapshot for snapshot in snapshots_of(batches) if snapshot.key not in taken]
        has_target = isinstance(self.select, TargetSelector)
        variance = ledger.variance(iteration, self.name) if has_target else None
        statistics = ledger.statistics(iteration, self.name)
        judging = Judging(store, ledger, context, self.name)
        ordered, decisions = judging.judge(
            self.select, pool, statistics, variance, number, replacing=True
        )
        entries = []
        for choice in decisions:
            if choice.verdict is not Verdict.ACCEPTED:
                continue
            key, run, step, atoms = ordered[choice.index]
            entry = Entry(
                key.replace("explore", self.name),
                to_structure(atoms),
                choice.candidate.q,
                choice.gain,
                origin(run, step, context.model),
            )
            entries.append(entry)
        if has_target:
            return with_variance_gains(entries, ledger.variance(iteration, self.name))
        return entries
