"""The training job: fine-tune the current model on everything labelled so far."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ase import Atoms
from pymatgen.core import Structure

from entropy_flows.entropy import CellMeans
from entropy_flows.entropy.target_weights import target_weights
from entropy_flows.jobs.checkpoint import checkpoint_folder
from entropy_flows.jobs.common import StageMaker, current_uuid, stage_job
from entropy_flows.jobs.context import IterationContext
from entropy_flows.jobs.replay import Replay
from entropy_flows.label import odd_labels
from entropy_flows.potentials import load_many, with_family_of
from entropy_flows.schemas import LabelDoc, TrainDoc
from entropy_flows.settings import settings
from entropy_flows.store import CampaignStore
from entropy_flows.train import (
    TrainParams,
    TrainResult,
    assign_splits,
    check_recipe,
    energy_per_atom,
    fine_tune,
)
from entropy_flows.train.dataset import TARGET_WEIGHT, count_reasons
from entropy_flows.train.folder import finished_epochs

SPLITS = ("train", "val", "test")


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
        context: IterationContext,
        *,
        labels: LabelDoc | None,
        parent: str,
        seeds: dict[str, Structure],
    ) -> TrainDoc:
        """Split what is new, train, and store the model in the database.

        The first training of a campaign makes its replay cells.

        Parameters
        ----------
        context
            Constants of the iteration.
        labels
            Document of the labels, for which this job waits.
        parent
            Reference of the model to start from, one that a trainer takes.
        seeds
            Phase → seed cell, which the replay cells are made of.

        Raises
        ------
        ValueError
            If there is no label to train on, or replay has a weight and no cell.
        """
        store = CampaignStore.open(context.campaign)
        iteration = context.iteration
        stored = store.model(iteration)
        if stored is not None:
            return TrainDoc.model_validate(stored["training"])
        cells = training_cells(store, context, parent, self.params)
        # before replay cells are made for nothing
        check_recipe(store.fetch_model(parent), self.params)
        replay = Replay(store, context, self.params)
        replay.make(seeds)
        replayed = replay.training_cells(cells["train"])
        result = self._fine_tune(store, context, cells, replayed, parent)
        left_out = _left_out(result, len(cells["train"]))
        document = TrainDoc(
            iteration=iteration,
            model=with_family_of(parent, f"sha256:{result.sha256}"),
            parent=parent,
            trained_on=len(cells["train"]),
            left_out=len(left_out),
            left_out_reasons=count_reasons(left_out + result.left_out.get("val", [])),
            replayed=len(replayed),
            epochs=result.epochs,
            wall_seconds=result.wall_seconds,
        )
        last = max(atoms.info["position"] for frames in cells.values() for atoms in frames)
        training = document.model_dump()
        model = with_family_of(parent, result.model)
        store.save_model(iteration, model, parent=parent, training=training, trained_up_to=last)
        # the first model written stays, so another run of this job may have written another
        stored = store.model(iteration)
        assert stored is not None, "it was there or has just been written"
        return TrainDoc.model_validate(stored["training"])

    def _fine_tune(
        self,
        store: CampaignStore,
        context: IterationContext,
        cells: Mapping[str, list[Atoms]],
        replayed: Sequence[Atoms],
        parent: str,
    ) -> TrainResult:
        """Train, and record the epochs in the iteration's document."""
        iteration = context.iteration
        folder = checkpoint_folder(context.campaign, iteration, current_uuid()) / "training"
        progress = {
            "cells": len(cells["train"]),
            "max_epochs": self.params.max_epochs,
            "replayed": len(replayed),
            "replay_weight": self.params.replay_weight,
        }
        store.record(iteration, train={**progress, "epoch": finished_epochs(folder)})
        result = fine_tune(
            cells["train"],
            cells["val"],
            cells["test"],
            store.fetch_model(parent),
            self.params,
            folder,
            on_progress=lambda epoch: store.record(
                iteration, **{"train.epoch": epoch.epoch, "train.val_loss": epoch.val_loss}
            ),
            replay=replayed,
        )
        done = {**progress, "epoch": result.epochs, "history": result.history}
        store.record(iteration, train=done)
        return result


def _left_out(result: TrainResult, labelled: int) -> list[tuple[int, str]]:
    """Return the labelled training cells that were left out; replay cells follow them."""
    return [item for item in result.left_out.get("train", []) if item[0] < labelled]


def training_cells(
    store: CampaignStore, context: IterationContext, parent: str, params: TrainParams
) -> dict[str, list[Atoms]]:
    """Collect what an iteration trains on, by split.

    It is the same for all members of a committee, whichever comes first.

    Raises
    ------
    ValueError
        If there is no label, or no target to weigh the cells for.
    """
    flag_odd_labels(store, context, parent)
    so_far = {"$lte": context.iteration}
    frames = store.frames(
        exclusions=store.training_exclusions(context.iteration),
        engine_hash=context.engine_hash,
        iteration=so_far,
    )
    if not frames:
        failed = store.labels(context.engine_hash, converged=False)
        counts = Counter(label["reason"] for label in failed)
        reasons = ", ".join(f"{count} × {reason}" for reason, count in counts.items())
        raise ValueError(f"no label to train on: {reasons or 'none was accepted'}")
    cells = split_cells(store, frames, context.iteration, params)
    if params.weights == "target":
        weigh_for_target(store, context, [*cells["train"], *cells["val"]])
    return cells


def weigh_for_target(
    store: CampaignStore, context: IterationContext, frames: Sequence[Atoms]
) -> None:
    """Give labelled cells the weights that an iteration's target has for them.

    Raises
    ------
    ValueError
        If there is no target.
    """
    ledger = store.ledger(context.dataset)
    row = ledger.target_row(context.iteration)
    if row is None:
        raise ValueError("train.weights 'target' needs a target: set select.selector to variance")
    positions = {int(atoms.info["position"]) for atoms in frames}
    arrays = ledger.fingerprints_between(0, max(positions) + 1)
    prints = {index: q for index, q in enumerate(arrays) if index in positions}
    cells = CellMeans.of([prints[int(atoms.info["position"])] for atoms in frames])
    target = ledger.target_cells(row)
    basis = ledger.basis(row["basis"])
    weights = target_weights(basis, cells, target.means, target.weights)
    for atoms, weight in zip(frames, weights.tolist(), strict=True):
        atoms.info[TARGET_WEIGHT] = weight


def flag_odd_labels(store: CampaignStore, context: IterationContext, parent: str) -> None:
    """Flag an iteration's odd labels; if cells were labelled again, those of all up to it.

    They are compared with the model `parent`, which was never trained on them.
    """
    outliers = context.outliers
    iterations = [context.iteration]
    if store.last_relabelled() == context.iteration:
        iterations = list(range(context.iteration + 1))
    labels = {"engine_hash": context.engine_hash, "iteration": {"$in": iterations}}
    exclusions = store.training_exclusions(context.iteration)
    frames = store.frames(flagged=True, exclusions=exclusions, **labels)
    calculator = None
    if outliers.enabled and len(frames) >= outliers.fewest:
        calculator = load_many(store.fetch_model(parent), device=settings().device)
    odd = odd_labels(frames, calculator, outliers)
    store.flag_labels({frames[index].info["key"]: text for index, text in odd.items()})
    counts = Counter(frames[index].info["iteration"] for index in odd)
    for iteration in {*counts, context.iteration}:
        store.record(iteration, **{"label.flagged": counts[iteration]})


def split_cells(
    store: CampaignStore, frames: Sequence[Atoms], iteration: int, params: TrainParams
) -> dict[str, list[Atoms]]:
    """Sort cells by split; those of this iteration and later ones are drawn now.

    Cells that came with their split have it. One of an earlier iteration that has none, because it
    was excluded when that was drawn, is trained on. What an interrupted run of the job assigned
    follows from the same cells as the rest.
    """
    earlier = [atoms.info for atoms in frames if atoms.info["iteration"] < iteration]
    assigned: dict[str, Any] = {info["key"]: info["split"] or "train" for info in earlier}
    keys = {atoms.info["key"] for atoms in frames}
    given = {key: split for key, split in store.given_splits().items() if key in keys}
    assigned |= given
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
        "cells": len(frames),
        "assigned": len(assigned),
    }
    store.plan(iteration, "split", draw)  # for `verify --deep`
    settled = {info["key"] for info in earlier if info["split"]} | given.keys()
    store.set_splits({key: split for key, split in computed.items() if key not in settled})
    return by_split(frames, store.splits())


def by_split(frames: Sequence[Atoms], splits: Mapping[str, str]) -> dict[str, list[Atoms]]:
    """Sort cells by the split that their keys have."""
    return {
        split: [atoms for atoms in frames if splits[atoms.info["key"]] == split] for split in SPLITS
    }
