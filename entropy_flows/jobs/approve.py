"""The job that waits until somebody has decided which of the chosen cells are labelled."""

from __future__ import annotations

from dataclasses import dataclass, field

from jobflow import Response

from entropy_flows.jobs.common import StageMaker, stage_job
from entropy_flows.jobs.context import IterationContext
from entropy_flows.jobs.plan import PlanMaker
from entropy_flows.label import Label
from entropy_flows.label.reasons import Reason
from entropy_flows.schemas import LabelDoc
from entropy_flows.store import CampaignStore


@dataclass
class ApproveMaker(StageMaker):
    """Have the approved cells labelled; a rejected one is a failed label with the reason.

    Under a workflow manager the job waits until each of its cells has a decision.

    Parameters
    ----------
    name
        Job name.
    plan
        The Maker that plans labels, without waiting.
    """

    name: str = "approve"
    plan: PlanMaker = field(default_factory=PlanMaker)

    @stage_job(LabelDoc, adds_jobs=True)
    def make(
        self, context: IterationContext, *, batch: int, structures: list[str], requested: int
    ) -> Response[LabelDoc]:
        """Add the jobs that label what was approved.

        Parameters
        ----------
        context
            Constants of the iteration.
        batch
            Labels of this iteration that were asked for before.
        structures
            Identifiers of the ledger entries that wait.
        requested
            Labels of this iteration that were asked for in all.

        Raises
        ------
        ValueError
            If a cell has no decision: nothing but a workflow manager has the job wait.
        """
        store = CampaignStore.open(context.campaign)
        rows = {row["structure_id"]: row for row in store.approvals()}
        entries = store.ledger_entries(structures)
        undecided = [
            entry["key"] for entry in entries if "approved" not in rows.get(entry["_id"], {})
        ]
        if undecided:
            raise ValueError(
                f"{len(undecided)} cells wait for an approval, {undecided[0]} the first of them: "
                f"label.approve needs a workflow manager, under which the campaign waits"
            )
        approved = {entry["_id"] for entry in entries if rows[entry["_id"]]["approved"]}
        rejected = [entry for entry in entries if entry["_id"] not in approved]
        for entry in rejected:
            row = rows[entry["_id"]]
            evidence = f"{row['by']}: {row['why']}"
            label = Label.failed(entry["n_atoms"], Reason.REJECTED, evidence)
            store.add_label(entry, context.engine_hash, label.as_dict())
        to_label = [entry for entry in entries if entry["_id"] in approved]
        document = LabelDoc(
            iteration=context.iteration,
            requested=len(structures),
            labelled=0,
            failed=len(rejected),
        )
        flow = self.plan.label_flow(context, to_label, batch, requested)
        return Response(output=document, detour=flow)
