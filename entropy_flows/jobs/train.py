"""The training job: fine-tune the current model on everything labelled so far."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from ase import Atoms

from entropy_flows.jobs.checkpoint import checkpoint_folder
from entropy_flows.jobs.common import StageMaker, current_uuid, stage_job
from entropy_flows.label import OutlierParams, odd_labels
from entropy_flows.potentials import load_calculator
from entropy_flows.schemas import TrainDoc
from entropy_flows.settings import settings
from entropy_flows.store import CampaignStore
from entropy_flows.train import TrainParams, assign_splits, energy_per_atom, fine_tune
from entropy_flows.train.dataset import count_reasons


@dataclass
class TrainMaker(StageMaker):
    """Fine-tune, by the trainer that takes the model.

    Parameters
    ----------
    name
        Job name.
    params
        Recipe.
    """

    name: str = "train"
    params: TrainParams = field(default_factory=TrainParams)

    @stage_job(TrainDoc)
    def make(
        self,
        campaign: str,
        iteration: int,
        labelled: Any,
        *,
        model: str,
        engine_hash: str,
        outliers: OutlierParams,
    ) -> TrainDoc:
        """Split what is new, train, and keep the model in the database.

        Parameters
        ----------
        campaign, iteration
            Place of this job.
        labelled
            The label stage's document; only makes this job wait for it.
        model
            Reference of the model to start from, one that a trainer takes.
        engine_hash
            Hash of the label engine's settings: a training set holds one only.
        outliers
            When a label is flagged instead of trained on.

        Raises
        ------
        ValueError
            If there is no label to train on.
        """
        store = CampaignStore.open(campaign)
        done = store.model(iteration)
        if done is not None:
            return TrainDoc.model_validate(done["training"])
        parts = training_cells(store, iteration, model, engine_hash, self.params, outliers)
        store.record(
            iteration,
            train={"cells": len(parts["train"]), "epoch": 0, "max_epochs": self.params.max_epochs},
        )
        result = fine_tune(
            parts["train"],
            parts["val"],
            parts["test"],
            store.fetch_model(model),
            self.params,
            checkpoint_folder(campaign, iteration, current_uuid()) / "training",
            on_progress=lambda progress: store.record(
                iteration, **{"train.epoch": progress.epoch, "train.val_loss": progress.val_loss}
            ),
        )
        store.record(iteration, train={
            "cells": len(parts["train"]), "epoch": result.epochs, "max_epochs": self.params.max_epochs,
            "history": result.history,
        })  # fmt: skip
        doc = TrainDoc(
            iteration=iteration,
            model=f"sha256:{result.sha256}",
            parent=model,
            trained_on=len(parts["train"]),
            left_out=len(result.left_out.get("train", [])),
            left_out_reasons=count_reasons(
                result.left_out.get("train", []) + result.left_out.get("val", [])
            ),
            epochs=result.epochs,
            wall_seconds=result.wall_seconds,
        )
        last = max(atoms.info["position"] for frames in parts.values() for atoms in frames)
        store.save_model(
            iteration, result.model, parent=model, training=doc.model_dump(), trained_up_to=last
        )
        stored = store.model(iteration)
        assert stored is not None, "it was there or has just been written"
        return TrainDoc.model_validate(stored["training"])


def training_cells(
    store: CampaignStore,
    iteration: int,
    model: str,
    engine_hash: str,
    params: TrainParams,
    outliers: OutlierParams,
) -> dict[str, list[Atoms]]:
    """What an iteration trains on, by part: the same for all members of a committee, whichever comes first.

    Raises
    ------
    ValueError
        If there is no label.
    """
    flag_odd(store, iteration, model, engine_hash, outliers)
    frames = store.frames(engine_hash=engine_hash, iteration={"$lte": iteration})
    if not frames:
        failed = Counter(label["reason"] for label in store.labels(engine_hash, converged=False))
        reasons = (
            ", ".join(f"{count} × {reason}" for reason, count in failed.items())
            or "none was accepted"
        )
        raise ValueError(f"no label to train on: {reasons}")
    return assign_parts(store, frames, iteration, params)


def flag_odd(
    store: CampaignStore, iteration: int, model: str, engine_hash: str, outliers: OutlierParams
) -> None:
    """Flag an iteration's odd labels; `model` was never trained on them, so it knows nothing of them."""
    frames = store.frames(flagged=True, engine_hash=engine_hash, iteration=iteration)
    compare = outliers.enabled and len(frames) >= outliers.fewest
    base = load_calculator(store.fetch_model(model), device=settings().device) if compare else None
    odd = odd_labels(frames, base, outliers)
    store.flag_labels({frames[place].info["key"]: text for place, text in odd.items()})
    store.record(iteration, **{"label.flagged": len(odd)})


def assign_parts(
    store: CampaignStore, frames: list[Atoms], iteration: int, params: TrainParams
) -> dict[str, list[Atoms]]:
    """Cells by part, those of this iteration and later ones drawn now, but for those that came with their split.

    What an interrupted run of the job assigned follows from the same cells as the rest.
    """
    assigned = {
        atoms.info["key"]: atoms.info["split"]
        for atoms in frames
        if atoms.info["iteration"] < iteration
    }
    assigned = {key: part for key, part in assigned.items() if part} | store.given_splits()
    computed = assign_splits(
        assigned,
        [energy_per_atom(atoms) for atoms in frames],
        [atoms.info["key"] for atoms in frames],
        params.fractions,
        params.seed,
    )
    draw = {
        "fractions": list(params.fractions),
        "seed": params.seed,
        "end": frames[-1].info["position"] + 1,
    }
    store.plan(
        iteration, "split", {**draw, "cells": len(frames), "assigned": len(assigned)}
    )  # for `verify --deep`
    store.set_splits({key: part for key, part in computed.items() if key not in assigned})
    splits = store.splits()
    return {
        part: [atoms for atoms in frames if splits[atoms.info["key"]] == part]
        for part in ("train", "val", "test")
    }
