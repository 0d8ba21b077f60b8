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
from entropy_flows.jobs.plan import PlanMaker
from entropy_flows.jobs.select import LazyCandidates, snapshots_of
from entropy_flows.schemas import ExploreDoc, LabelDoc
from entropy_flows.schemas.stages import PLANNED_STAGES, top_up_stage
from entropy_flows.select import GreedySelector, Selector, VarianceSelector
from entropy_flows.select.selector import ANY_GAIN
from entropy_flows.store import CampaignStore, Entry, Ledger


@dataclass
class TopUpMaker(StageMaker):
    """Ask for as many labels again as have failed.

    Parameters
    ----------
    name
        Job name, and the stage of the ledger: `top_up_1`, `top_up_2`, …
    plan
        The Maker that plans labels, with the static Maker in it.
    """

    name: str = top_up_stage(1)
    plan: PlanMaker = field(default_factory=PlanMaker)

    @stage_job(LabelDoc, adds_jobs=True)
    def make(
        self,
        context: IterationContext,
        *,
        labels: LabelDoc | None,
        explored: Sequence[ExploreDoc | None],
        theta_min: float,
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
        theta_min
            Gain that a replacement must exceed: selection's.
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
        selector = GreedySelector(theta_min=theta_min or ANY_GAIN)
        entries = self._replacements(context, ledger, explored, selector, missing)
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
        context: IterationContext,
        ledger: Ledger,
        explored: Sequence[ExploreDoc | None],
        selector: GreedySelector,
        number: int,
    ) -> list[Entry]:
        """Choose the best of what was explored and is not in the data set, refined or not.

        Best is what gains most in log det Σ, or for the target of the iteration's selection.
        """
        if number == 0:
            return []
        others = list(ledger.entries(iteration=context.iteration, stage={"$ne": self.name}))
        taken = {entry["key"].replace("/refine/", "/explore/") for entry in others}
        pool = [
            snapshot
            for snapshot in snapshots_of(documents(ExploreDoc, explored))
            if snapshot.key not in taken
        ]
        candidates = LazyCandidates(pool, range(len(pool)), ledger.fingerprint)
        statistics = ledger.statistics(context.iteration, self.name)
        variance = None
        rule: Selector = selector
        if any(entry.get("variance_gain") is not None for entry in others):
            variance = ledger.variance(context.iteration, self.name)
            rule = VarianceSelector()
        entries = []
        for choice in rule(candidates, statistics, number, None, variance):
            key, run, step, atoms = pool[choice.index]
            source = origin(run, step, context.model)
            entry = Entry(
                key.replace("explore", self.name),
                to_structure(atoms),
                choice.candidate.q,
                choice.gain,
                source,
                None if variance is None else choice.score,
            )
            entries.append(entry)
        return entries
