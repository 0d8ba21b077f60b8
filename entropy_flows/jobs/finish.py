"""The last jobs of a pool, a learning curve and a data set without physics.

Each waits for the jobs before it, and writes down how the campaign ended.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from entropy_flows.jobs.checkpoint import forget_iteration
from entropy_flows.jobs.common import StageMaker, campaign_job, document
from entropy_flows.jobs.context import IterationContext
from entropy_flows.jobs.train import flag_odd_labels, split_cells
from entropy_flows.schemas import AdmitDoc, LabelDoc, PointDoc, StateDoc
from entropy_flows.schemas.documents import State
from entropy_flows.store import CampaignStore
from entropy_flows.train import TrainParams


@dataclass
class FinishPoolMaker(StageMaker):
    """Flag odd labels, draw training, validation and test cells, and end the pool.

    Parameters
    ----------
    name
        Job name.
    params
        Fractions and seed of the splits.
    """

    name: str = "finish"
    params: TrainParams = field(default_factory=TrainParams)

    @campaign_job(StateDoc)
    def make(self, context: IterationContext, *, labels: LabelDoc | None) -> StateDoc:
        """End the pool; this job waits for `labels`."""
        store = CampaignStore.open(context.campaign)
        flag_odd_labels(store, context, context.model)
        exclusions = store.training_exclusions(context.iteration)
        frames = store.frames(exclusions=exclusions, engine_hash=context.engine_hash)
        failed = store.labels(context.engine_hash, converged=False)
        counts = Counter(label["reason"] for label in failed)
        reasons = "".join(f", {count} × {reason}" for reason, count in counts.items())
        if not frames:
            return _finished(store, context, "failed", f"no label{reasons}")
        cells = split_cells(store, frames, context.iteration, self.params)
        sizes = ", ".join(f"{len(cells[split])} {split}" for split in cells)
        message = f"pool of {len(frames)} labels ({sizes}){reasons}"
        return _finished(store, context, "done", message)


@dataclass
class FinishCurveMaker(StageMaker):
    """End a learning curve.

    Parameters
    ----------
    name
        Job name.
    """

    name: str = "finish"

    @campaign_job(StateDoc)
    def make(self, context: IterationContext, *, points: Sequence[PointDoc | None]) -> StateDoc:
        """End the curve; this job waits for `points`."""
        store = CampaignStore.open(context.campaign)
        trained = len(store.points())
        failed = len(store.failures(stage="point"))
        message = f"{trained} of {len(points)} points"
        if failed:
            message += f", {failed} failed (see failures)"
        return _finished(store, context, "done" if trained else "failed", message)


@dataclass
class FinishDatasetMaker(StageMaker):
    """End a data set without physics.

    Parameters
    ----------
    name
        Job name.
    """

    name: str = "finish"

    @campaign_job(StateDoc)
    def make(
        self,
        context: IterationContext,
        *,
        admission: AdmitDoc | None,
        plans: Sequence[LabelDoc | None] = (),
    ) -> StateDoc:
        """End the data set.

        Parameters
        ----------
        context
            Constants of the data set.
        admission
            Document of the job that admits the cells; None if it failed.
        plans
            Documents of the jobs that plan labels, for whose labels this job waits.
        """
        store = CampaignStore.open(context.campaign)
        admitted = document(AdmitDoc, admission)
        if admitted is None:
            failure = next(reversed(store.failures()), None)
            message = f"{failure['title']}: {failure['message']}" if failure else "no cells"
            store.set_state("failed", message)
            return StateDoc(state="failed", message=message)
        lost = len(store.failures(stage="ascend"))
        message = f"{admitted.cells} cells, {admitted.atoms} atoms"
        if lost:
            message += f"; {lost} runs failed (see failures)"
        if plans:
            converged = sum(1 for _ in store.labels(converged=True))
            message += f"; {converged} labels"
        store.set_state("done", message)
        store.record(context.iteration, admit=admitted.model_dump())
        for search in store.iterations():
            forget_iteration(context.campaign, search["iteration"])
        return StateDoc(state="done", message=message)


def _finished(
    store: CampaignStore, context: IterationContext, state: State, message: str
) -> StateDoc:
    """Write down how a campaign ended, and delete its checkpoints."""
    store.set_state(state, message)
    forget_iteration(context.campaign, context.iteration)
    return StateDoc(state=state, message=message)
