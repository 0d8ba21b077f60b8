"""The job of a committee's further members: the training of `jobs.train` with another seed."""

from __future__ import annotations

from dataclasses import dataclass, field

from pymatgen.core import Structure

from entropy_flows.jobs.checkpoint import checkpoint_folder
from entropy_flows.jobs.common import StageMaker, current_uuid, stage_job
from entropy_flows.jobs.context import IterationContext
from entropy_flows.jobs.replay import Replay
from entropy_flows.jobs.train import training_cells
from entropy_flows.potentials import with_family_of
from entropy_flows.schemas import LabelDoc, MemberDoc
from entropy_flows.store import CampaignStore
from entropy_flows.train import TrainParams, fine_tune


@dataclass
class MemberMaker(StageMaker):
    """Train one more model on what the iteration's model is trained on, in another order.

    Member 1 is the iteration's model itself. Members need nothing of each other, so workers share
    them.

    Parameters
    ----------
    name
        Job name.
    params
        Recipe, that of the iteration's model.
    """

    name: str = "member"
    params: TrainParams = field(default_factory=TrainParams)

    @stage_job(MemberDoc)
    def make(
        self,
        context: IterationContext,
        *,
        batch: int,
        labels: LabelDoc | None,
        parent: str,
        seeds: dict[str, Structure],
    ) -> MemberDoc:
        """Train, and store the model in the database.

        Parameters
        ----------
        context, labels, parent, seeds
            As of `TrainMaker.make`.
        batch
            Number of the member, from 2.
        """
        store = CampaignStore.open(context.campaign)
        iteration = context.iteration
        stored = store.member(iteration, batch)
        if stored is not None:
            return MemberDoc.model_validate(stored["training"])
        cells = training_cells(store, context, parent, self.params)
        replay = Replay(store, context, self.params)
        if self.params.replay_weight:
            replay.make(seeds)
        replayed = replay.training_cells(cells["train"])
        recipe = self.params.model_copy(update={"seed": self.params.seed + batch - 1})
        folder = checkpoint_folder(context.campaign, iteration, current_uuid()) / "training"
        source = store.fetch_model(parent)
        result = fine_tune(
            cells["train"], cells["val"], [], source, recipe, folder, replay=replayed
        )
        document = MemberDoc(
            iteration=iteration,
            member=batch,
            model=with_family_of(parent, f"sha256:{result.sha256}"),
            parent=parent,
            epochs=result.epochs,
            wall_seconds=result.wall_seconds,
        )
        training = document.model_dump()
        model = with_family_of(parent, result.model)
        store.save_member(iteration, batch, model, parent=parent, training=training)
        # the first model written stays, so another run of this job may have written another
        stored = store.member(iteration, batch)
        assert stored is not None, "it was there or has just been written"
        return MemberDoc.model_validate(stored["training"])
