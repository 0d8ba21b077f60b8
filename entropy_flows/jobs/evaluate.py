"""The evaluation job: errors on held-out cells before and after a fine-tuning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ase import Atoms

from entropy_flows.evaluate import errors
from entropy_flows.evaluate.committee import Committee
from entropy_flows.jobs.common import LostInputError, StageMaker, document, stage_job
from entropy_flows.potentials import load_calculator
from entropy_flows.schemas import EvaluateDoc, TrainDoc
from entropy_flows.settings import settings as machine
from entropy_flows.store import CampaignStore


@dataclass
class EvaluateMaker(StageMaker):
    """Compare the new model with the one it came from."""

    name: str = "evaluate"

    @stage_job(EvaluateDoc)
    def make(
        self, campaign: str, iteration: int, before: str, trained: Any, settings: str, members: list[Any] | None = None
    ) -> EvaluateDoc:
        """Evaluate on the test cells of all iterations so far, and the new model on the validation cells too.

        Parameters
        ----------
        campaign, iteration
            Place of this job.
        before
            Reference of the model that was fine-tuned.
        trained
            Training's document; None if it failed.
        settings
            Hash of the label engine's settings.
        members
            Documents of a committee's further members; only makes this job wait for them.

        Raises
        ------
        LostInputError
            If training left no model.
        """
        training = document(TrainDoc, trained)
        if training is None:
            raise LostInputError("training failed, so there is no new model to evaluate")
        store = CampaignStore.open(campaign)
        so_far: dict[str, Any] = {"settings": settings, "iteration": {"$lte": iteration}}
        test, val = store.frames(split="test", **so_far), store.frames(split="val", **so_far)
        result = EvaluateDoc(
            iteration=iteration,
            before=model_errors(store, before, test),
            after=model_errors(store, training.model, test),
            validation=model_errors(store, training.model, val),
            calibration=calibration(store, iteration, test) if members else {},
        )
        store.record(iteration, evaluate=result.model_dump())
        return result


def calibration(store: CampaignStore, iteration: int, frames: list[Atoms]) -> dict[str, Any]:
    """Spread of an iteration's committee against its error; empty without cells, or if only one member was trained."""
    models = store.committee(iteration)
    if not frames or len(models) < 2:
        return {}
    committee = Committee([store.fetch_model(model) for model in models], machine().device)
    return {name: found.as_dict() for name, found in committee.calibration(frames).items()}


def model_errors(store: CampaignStore, model: str, frames: list[Atoms]) -> dict[str, Any]:
    """Errors of a stored model; only {"n": 0} without cells."""
    if not frames:
        return {"n": 0}
    return errors(frames, load_calculator(store.fetch_model(model), device=machine().device)).as_dict()
