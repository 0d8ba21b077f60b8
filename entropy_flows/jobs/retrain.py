"""The job that trains an iteration's model again, on what is there now."""

from __future__ import annotations

from dataclasses import dataclass, field

from ase import Atoms
from pymatgen.core import Structure

from entropy_flows.jobs.checkpoint import checkpoint_folder, forget_iteration
from entropy_flows.jobs.common import StageMaker, current_uuid, stage_job
from entropy_flows.jobs.context import IterationContext
from entropy_flows.jobs.evaluate import evaluate_models
from entropy_flows.jobs.replay import Replay
from entropy_flows.jobs.train import by_split
from entropy_flows.potentials import with_family_of
from entropy_flows.schemas import RetrainDoc
from entropy_flows.store import CampaignStore
from entropy_flows.train import TrainParams, TrainResult, check_recipe, fine_tune


@dataclass
class RetrainMaker(StageMaker):
    """Train a further version of an iteration's model, and decide which the campaign goes on from.

    Parameters
    ----------
    name
        Job name.
    params
        Recipe.
    """

    name: str = "retrain"
    params: TrainParams = field(default_factory=TrainParams)

    @stage_job(RetrainDoc)
    def make(
        self,
        context: IterationContext,
        *,
        batch: int,
        parent: str,
        replaced: str,
        exclusions: int,
        seeds: dict[str, Structure],
    ) -> RetrainDoc:
        """Train, compare with the model that it replaces, and store it in the database.

        Parameters
        ----------
        context
            Constants of the iteration whose model it is.
        batch
            Number of the version, from 2.
        parent
            Reference of the model to start from: that of the iteration's training.
        replaced
            Reference of the model that the campaign goes on from otherwise.
        exclusions
            Number of rows of `exclusions` that count.
        seeds
            Phase → seed cell, which replay cells are made of.

        Raises
        ------
        ValueError
            If there is no label to train on.
        """
        store = CampaignStore.open(context.campaign)
        stored = store.version(context.iteration, batch)
        if stored is not None:
            return RetrainDoc.model_validate(stored["training"])
        cells = self._cells(store, context, exclusions)
        result = self._fine_tune(store, context, cells, parent, seeds)
        model = with_family_of(parent, result.model)
        document = RetrainDoc(
            iteration=context.iteration,
            version=batch,
            model=with_family_of(parent, f"sha256:{result.sha256}"),
            parent=parent,
            trained_on=len(cells["train"]),
            epochs=result.epochs,
            wall_seconds=result.wall_seconds,
        )
        evaluation = evaluate_models(
            store, context, replaced, document.model, self.params, exclusions, model, batch
        )
        store.save_version(
            context.iteration,
            batch,
            model,
            parent=parent,
            replaced=replaced,
            exclusions=exclusions,
            training=document.model_dump(),
            evaluate=evaluation.model_dump(),
        )
        forget_iteration(context.campaign, context.iteration)
        # the first model written stays, so another run of this job may have written another
        stored = store.version(context.iteration, batch)
        assert stored is not None, "it was there or has just been written"
        return RetrainDoc.model_validate(stored["training"])

    def _fine_tune(
        self,
        store: CampaignStore,
        context: IterationContext,
        cells: dict[str, list[Atoms]],
        parent: str,
        seeds: dict[str, Structure],
    ) -> TrainResult:
        """Train on cells by split, and on the campaign's replay cells if it has any."""
        source = store.fetch_model(parent)
        check_recipe(source, self.params)
        replay = Replay(store, context, self.params)
        replay.make(seeds)
        folder = checkpoint_folder(context.campaign, context.iteration, current_uuid())
        return fine_tune(
            cells["train"],
            cells["val"],
            cells["test"],
            source,
            self.params,
            folder / "training",
            replay=replay.training_cells(cells["train"]),
        )

    def _cells(
        self, store: CampaignStore, context: IterationContext, exclusions: int
    ) -> dict[str, list[Atoms]]:
        """Collect the cells up to the iteration, by split; one that has none yet is trained on."""
        frames = store.frames(
            exclusions=exclusions,
            engine_hash=context.engine_hash,
            iteration={"$lte": context.iteration},
        )
        if not frames:
            raise ValueError("no label to train on: all are excluded or failed")
        splits = {atoms.info["key"]: atoms.info["split"] or "train" for atoms in frames}
        return by_split(frames, splits)
