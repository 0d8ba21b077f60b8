"""The job that plans an iteration's labels, and adds the jobs that make them.

The number of labels follows from what selection accepted, so the planning job adds the label jobs
as a detour: the jobs after it wait for them. A label that fails is an output as any other, so no
job waits for one that is lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

import numpy as np
from jobflow import Flow, Maker, Response

from entropy_flows.fingerprints import Fingerprint
from entropy_flows.geometry import to_structure
from entropy_flows.jobs.common import StageMaker, documents, outputs, stage_job
from entropy_flows.jobs.context import IterationContext
from entropy_flows.jobs.explore import origin, snapshots
from entropy_flows.jobs.gather import GatherMaker, SubtotalMaker
from entropy_flows.jobs.label import LabelMaker
from entropy_flows.schemas import AdmitDoc, ExploreDoc, LabelDoc, RefineDoc, SelectDoc
from entropy_flows.schemas.stages import PLANNED_STAGES
from entropy_flows.store import CampaignStore, Entry

FAN_OUT = 100
"""Label jobs that one job waits for; more become chunks of so many."""
ANCHOR_DRAW = 2
"""Separates the draw of the anchors from the iteration's other random streams."""


@dataclass
class PlanMaker(StageMaker):
    """Admit the anchors to the ledger and have everything of this iteration labelled.

    Parameters
    ----------
    name
        Job name.
    label
        The Maker that labels structures, with the static Maker in it.
    batch_size
        Structures per label job: 1 for DFT, more where a job would cost more than a label; see
        `Engine.labels_per_job`.
    approve
        Whether the cells wait until somebody approves them.
    """

    name: str = "plan"
    label: LabelMaker = field(default_factory=LabelMaker)
    batch_size: int = 1
    approve: bool = False

    @property
    def engine(self) -> Maker:
        """The static Maker; an error if none was given."""
        return self.label.engine

    @stage_job(LabelDoc, adds_jobs=True)
    def make(
        self,
        context: IterationContext,
        *,
        accepted: SelectDoc | RefineDoc | AdmitDoc | None,
        anchors: Sequence[ExploreDoc | None] = (),
        anchor_share: float = 0.0,
        budget: int | None = None,
    ) -> Response[LabelDoc]:
        """Plan the labels.

        Parameters
        ----------
        context
            Constants of the iteration.
        accepted
            Document of the stage that accepted the last structures, for which this job waits.
        anchors
            Documents of the anchor jobs; None for a lost one.
        anchor_share
            Share of the anchors among the labels.
        budget
            Most labels of this iteration, anchors included; None for no limit.
        """
        store = CampaignStore.open(context.campaign)
        ledger = store.ledger(context.dataset)
        iteration = context.iteration
        start = ledger.position(iteration, PLANNED_STAGES[0])
        n_accepted = ledger.position(iteration, "anchor") - start
        n_anchors = round(n_accepted * anchor_share / (1 - anchor_share))
        if budget is not None:
            n_anchors = min(n_anchors, budget - n_accepted)
        entries = draw_anchors(context, anchors, n_anchors, ledger.fingerprint)
        ledger.append_accepted(iteration, "anchor", entries)
        rows = list(ledger.entries(iteration=iteration, stage={"$in": PLANNED_STAGES}))
        counts = {"label.requested": len(rows), "label.anchors": len(entries)}
        store.record(iteration, **counts)
        document = LabelDoc(
            iteration=iteration, requested=len(rows), labelled=0, failed=0, anchors=len(entries)
        )
        return Response(output=document, detour=self.label_flow(context, rows))

    def label_flow(
        self,
        context: IterationContext,
        entries: Sequence[dict[str, Any]],
        before: int = 0,
        requested: int | None = None,
    ) -> Flow:
        """Build the jobs that label ledger entries, and the one that gathers.

        If the cells are to be approved, it is one job, which adds these.

        Parameters
        ----------
        context
            Constants of the iteration.
        entries
            Documents of the ledger.
        before
            Labels of this iteration that were asked for before.
        requested
            Labels of this iteration that were asked for in all; None counts these entries.
        """
        in_all = before + len(entries) if requested is None else requested
        if self.approve and entries:
            return self._approval_flow(context, entries, before, in_all)
        groups = _chunks(entries, self.batch_size)
        jobs = [
            self.label.jobs_of(context, number, group)
            for number, group in enumerate(groups, before)
        ]
        labels = [group_jobs[-1] for group_jobs in jobs]
        chunks = _chunks(labels, FAN_OUT) if len(labels) > FAN_OUT else []
        subtotals = [
            SubtotalMaker().make(context, batch=number, batches=outputs(chunk))
            for number, chunk in enumerate(chunks, before)
        ]
        gather = GatherMaker().make(
            context,
            batch=before,
            batches=outputs(subtotals or labels),
            requested=in_all,
        )
        for subtotal in subtotals:
            subtotal.metadata["chunk"] = gather.uuid
        return Flow([*chain(*jobs), *subtotals, gather], name=f"labels {context.iteration}")

    def _approval_flow(
        self,
        context: IterationContext,
        entries: Sequence[dict[str, Any]],
        before: int,
        requested: int,
    ) -> Flow:
        """Build the job that waits for the cells' approval, and have them wait for it."""
        from entropy_flows.jobs.approve import ApproveMaker

        maker = ApproveMaker(plan=replace(self, approve=False))
        structures = [entry["_id"] for entry in entries]
        job = maker.make(context, batch=before, structures=structures, requested=requested)
        job.metadata["awaits_approval"] = True
        CampaignStore.open(context.campaign).await_approval(entries, job.uuid)
        return Flow([job], name=f"approval {context.iteration}")


def draw_anchors(
    context: IterationContext,
    anchors: Sequence[ExploreDoc | None],
    number: int,
    fingerprint: Fingerprint,
) -> list[Entry]:
    """Draw anchors at random from what the dynamics left, in the order of drawing."""
    if number <= 0:
        return []
    pool = [row for batch in documents(ExploreDoc, anchors) for row in snapshots(batch)]
    stream = np.random.default_rng([context.seed, context.iteration, ANCHOR_DRAW])
    entries = []
    for index in stream.permutation(len(pool))[:number].tolist():
        run, step, atoms, force = pool[index]
        key = f"{context.iteration:03d}/anchor/{run.index:05d}/{step:05d}"
        source = origin(run, step, context.model, max_force=force)
        entries.append(Entry(key, to_structure(atoms), fingerprint(atoms), None, source))
    return entries


def _chunks(items: Sequence[Any], size: int) -> list[Sequence[Any]]:
    return [items[start : start + size] for start in range(0, len(items), size)]
