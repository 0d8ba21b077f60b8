"""The job that has the cells of a fork labelled again, by the fork's own engine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jobflow import Flow, Response

from entropy_flows.jobs.common import StageMaker, stage_job
from entropy_flows.jobs.context import IterationContext
from entropy_flows.jobs.gather import SubtotalMaker
from entropy_flows.jobs.plan import PlanMaker
from entropy_flows.label import Label
from entropy_flows.label.reasons import Reason
from entropy_flows.schemas import LabelDoc
from entropy_flows.schemas.stages import IMPORT, Stage
from entropy_flows.store import CampaignStore

REFUSED = "refused"
"""Item of an iteration's plan: key and reason of each cell that is not labelled again."""


@dataclass
class RelabelMaker(StageMaker):
    """Have all cells up to an iteration labelled, but those that somebody has refused.

    Parameters
    ----------
    name
        Job name.
    plan
        The Maker that plans labels, with the static Maker in it.
    """

    name: str = "relabel"
    plan: PlanMaker = field(default_factory=PlanMaker)

    @stage_job(LabelDoc, adds_jobs=True)
    def make(self, context: IterationContext) -> Response[LabelDoc]:
        """Add the jobs that label the cells, and those that count, for each iteration.

        Parameters
        ----------
        context
            Constants of the last iteration whose cells are labelled again.
        """
        store = CampaignStore.open(context.campaign)
        refused = _refused_cells(store, context.iteration)
        flows = []
        totals = Counter[str]()
        for iteration in range(context.iteration + 1):
            entries = _entries(store, context, iteration)
            if not entries and iteration == 0:
                continue
            stages = Counter(entry["stage"] for entry in entries)
            counts = {
                "requested": len(entries) - stages[IMPORT],
                "anchors": stages[Stage.ANCHOR.value],
            }
            store.record(iteration, **{f"label.{name}": n for name, n in counts.items()})
            flows.append(self._flow(store, context.of_iteration(iteration), entries, refused))
            totals.update(counts, cells=len(entries))
        # one job that ends after all of them; no chunk of label jobs has this number
        last = SubtotalMaker().make(
            context, batch=totals["cells"], batches=[flow.jobs[-1].output for flow in flows]
        )
        document = LabelDoc(
            iteration=context.iteration,
            requested=totals["requested"],
            labelled=0,
            failed=0,
            anchors=totals["anchors"],
        )
        return Response(output=document, detour=Flow([*flows, last], name="relabel"))

    def _flow(
        self,
        store: CampaignStore,
        context: IterationContext,
        entries: Sequence[dict[str, Any]],
        refused: Mapping[str, str],
    ) -> Flow:
        """Build the jobs of one iteration; a refused cell has its failed label now."""
        for entry in entries:
            if entry["key"] in refused:
                reason = refused[entry["key"]]
                label = Label.failed(entry["n_atoms"], Reason.REJECTED, reason)
                store.add_label(entry, context.engine_hash, label.as_dict())
        to_label = [entry for entry in entries if entry["key"] not in refused]
        requested = sum(entry["stage"] != IMPORT for entry in entries)
        return self.plan.label_flow(context, to_label, requested=requested)


def _entries(
    store: CampaignStore, context: IterationContext, iteration: int
) -> list[dict[str, Any]]:
    """Return the entries of an iteration that are to have a label of the campaign's engine.

    An imported cell is, if it had one of the engine before.
    """
    labelled = store.relabelled_cells(iteration)
    return [
        entry
        for entry in store.ledger(context.dataset).entries(iteration=iteration)
        if entry["stage"] != IMPORT or entry["key"] in labelled
    ]


def _refused_cells(store: CampaignStore, iteration: int) -> dict[str, str]:
    """Return key → why, of cells that are excluded or were rejected; decided once."""
    reasons = {
        key: f"excluded by {row['by']}: {row['why']}" for key, row in store.excluded().items()
    }
    for row in store.approvals(approved=False):
        reasons[row["key"]] = f"rejected by {row['by']}: {row['why']}"
    # a key may have dots, which are no part of a field's name
    decided = store.plan(iteration, REFUSED, [list(item) for item in reasons.items()])
    return dict(decided)
