"""The job of a committee's further members: the training of `jobs.train` with another seed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from entropy_flows.jobs.checkpoint import checkpoint_folder
from entropy_flows.jobs.common import StageMaker, current_uuid, stage_job
from entropy_flows.jobs.train import training_cells
from entropy_flows.label import OutlierParams
from entropy_flows.schemas import MemberDoc
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
        As of `TrainMaker`.
    """

    name: str = "member"
    params: TrainParams = field(default_factory=TrainParams)

    @stage_job(MemberDoc)
    def make(
        self, campaign: str, iteration: int, batch: int, labelled: Any, *, model: str, engine_hash: str,
        outliers: OutlierParams,
    ) -> MemberDoc:  # fmt: skip
        """Train, and keep the model in the database.

        Parameters
        ----------
        campaign, iteration
            Place of this job.
        batch
            Number of the member, from 2.
        labelled, model, engine_hash, outliers
            As of `TrainMaker.make`.
        """
        store = CampaignStore.open(campaign)
        if (done := store.member(iteration, batch)) is not None:
            return MemberDoc.model_validate(done["training"])
        parts = training_cells(store, iteration, model, engine_hash, self.params, outliers)
        result = fine_tune(
            parts["train"],
            parts["val"],
            [],
            store.fetch_model(model),
            self.params.model_copy(update={"seed": self.params.seed + batch - 1}),
            checkpoint_folder(campaign, iteration, current_uuid()) / "training",
        )
        doc = MemberDoc(
            iteration=iteration,
            member=batch,
            model=f"sha256:{result.sha256}",
            parent=model,
            epochs=result.epochs,
            wall_seconds=result.wall_seconds,
        )
        store.save_member(iteration, batch, result.model, parent=model, training=doc.model_dump())
        stored = store.member(iteration, batch)
        assert stored is not None, "it was there or has just been written"
        return MemberDoc.model_validate(stored["training"])
