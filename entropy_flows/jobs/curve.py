"""The jobs of a learning curve: one trains and tests a model, one ends the curve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ase import Atoms

from entropy_flows.digest import digest
from entropy_flows.evaluate.curve import draw, draw_mixed
from entropy_flows.evaluate.errors import errors
from entropy_flows.jobs.checkpoint import checkpoint_folder
from entropy_flows.jobs.common import StageMaker, current_uuid, stage_job
from entropy_flows.jobs.context import IterationContext
from entropy_flows.potentials import load_many, with_family_of
from entropy_flows.schemas import CurveParams, PointDoc
from entropy_flows.schemas.curve import COMMON_TEST, IN_DISTRIBUTION, INDEPENDENT_TEST
from entropy_flows.schemas.stages import IMPORT, Stage
from entropy_flows.settings import settings
from entropy_flows.store import CampaignStore
from entropy_flows.train import TrainParams, fine_tune

SELECTED: dict[str, Any] = {"stage": {"$nin": [Stage.ANCHOR.value, IMPORT]}}
"""Query of the entropy pool: what selection accepted, not the anchors beside it."""


@dataclass
class PointMaker(StageMaker):
    """Train and test one point of a learning curve: draw, train from the base model, test.

    Parameters
    ----------
    name
        Job name.
    params
        Methods and shares.
    train
        Recipe.
    """

    name: str = "point"
    params: CurveParams = field(default_factory=CurveParams)
    train: TrainParams = field(default_factory=TrainParams)

    @stage_job(PointDoc)
    def make(
        self,
        context: IterationContext,
        *,
        batch: int,
        point: tuple[str, int, int],
        pools: dict[str, str],
    ) -> PointDoc:
        """Train and test one model, or take the equal point of another curve.

        Parameters
        ----------
        context
            Constants of the curve; its `model` is the one to start from.
        batch
            Number of the point.
        point
            Method, N and seed.
        pools
            "entropy", "random", "independent", "common" → campaign whose labels they are; those not
            needed may be missing.
        """
        method, size, seed = point
        store = CampaignStore.open(context.campaign)
        pool = Pools(pools, context.engine_hash, self.params)
        train, val = pool.training(method, size, seed)
        tests = pool.tests()
        recipe = self.train.model_copy(update={"seed": seed})
        inputs = point_sha256({"train": train, "val": val, **tests}, recipe, context.model)
        key: dict[str, Any] = {"method": method, "size": size, "seed": seed}
        equal = store.equal_point(inputs)
        if equal is not None:
            document = _copied(store, equal, context.model, batch, key)
            store.save_point(document.model_dump())
            return document
        folder = checkpoint_folder(context.campaign, context.iteration, current_uuid())
        source = store.fetch_model(context.model)
        result = fine_tune(train, val, [], source, recipe, folder / "training")
        model = with_family_of(context.model, result.model)
        reference = store.save_model(batch + 1, model, parent=context.model, **key)
        calculator = load_many(store.fetch_model(reference), device=settings().device)
        document = PointDoc(
            iteration=context.iteration,
            **key,
            model=reference,
            inputs_sha256=inputs,
            trained_on=len(train) - len(result.left_out.get("train", [])),
            validated_on=len(val),
            epochs=result.epochs,
            wall_seconds=result.wall_seconds,
            keys=[atoms.info["name"] for atoms in train],
            errors={test: errors(frames, calculator).as_dict() for test, frames in tests.items()},
        )
        store.save_point(document.model_dump())
        return document


def _copied(
    store: CampaignStore, point: dict[str, Any], parent: str, batch: int, key: dict[str, Any]
) -> PointDoc:
    """Take over another curve's point, with a copy of its model."""
    model = store.of(point["campaign"]).fetch_model(point["model"])
    store.save_model(batch + 1, model, parent=parent, **key)
    return PointDoc.model_validate({name: point[name] for name in PointDoc.model_fields} | key)


def point_sha256(parts: Mapping[str, Sequence[Atoms]], recipe: TrainParams, model: str) -> str:
    """Hash what a point follows from, so that a curve with more points trains only those.

    Parameters
    ----------
    parts
        Labelled cells to train on and to validate with, and of each test.
    recipe
        Recipe, with the seed of the training.
    model
        Reference of the model to start from.
    """
    cells = {
        name: [(atoms.info["name"], atoms.get_potential_energy()) for atoms in frames]
        for name, frames in parts.items()
    }
    return digest([cells, recipe.identity("committee"), model])


@dataclass(frozen=True)
class Pools:
    """The pools' labelled cells, for training and for tests.

    Attributes
    ----------
    names
        Pool → campaign.
    engine_hash
        Hash of the label engine's settings.
    params
        Shares of the mixed pool.
    """

    names: dict[str, str]
    engine_hash: str
    params: CurveParams

    def training(self, method: str, size: int, seed: int) -> tuple[list[Atoms], list[Atoms]]:
        """Return cells to train on, and the pool's own validation cells."""
        if method == "campaign":
            train = self.cells("entropy", "train", {})
            val = self.cells("entropy", "val", {})
            return draw(train, size, seed, "the campaign"), val
        if method == "mixed":
            return self._mixed(size, seed)
        train = self.cells(method, "train")
        return draw(train, size, seed, f"the {method} pool"), self.cells(method, "val")

    def _mixed(self, size: int, seed: int) -> tuple[list[Atoms], list[Atoms]]:
        """Mix cells of the entropy pool and near-equilibrium ones of the baseline."""
        share = self.params.near_share
        train = self.cells("entropy", "train")
        val = self.cells("entropy", "val")
        train_near_equilibrium = self._near_equilibrium("train")
        val_near_equilibrium = self._near_equilibrium("val")
        cells = draw_mixed(train, train_near_equilibrium, size, share, seed)
        number = len(val_near_equilibrium)
        if share < 1:
            number = min(number, round(share / (1 - share) * len(val)))
        return cells, val + val_near_equilibrium[:number]

    def tests(self) -> dict[str, list[Atoms]]:
        """Return the test sets that have cells."""
        tests = {IN_DISTRIBUTION: self.cells("entropy", "test")}
        if "independent" in self.names:
            tests[INDEPENDENT_TEST] = self.cells("independent", None)
        if "common" in self.names:
            tests[COMMON_TEST] = self.cells("common", "test")
        return {name: frames for name, frames in tests.items() if frames}

    def cells(
        self, pool: str, split: str | None, labels: dict[str, Any] | None = None
    ) -> list[Atoms]:
        """Return a split of a pool, in ledger order.

        Parameters
        ----------
        pool
            Name of the pool.
        split
            Name of the split; None for all of the pool.
        labels
            Query of the labels; None takes `SELECTED`.
        """
        campaign = self.names[pool]
        query = {"engine_hash": self.engine_hash, **(SELECTED if labels is None else labels)}
        if split is not None:
            query["split"] = split
        frames = CampaignStore.open(campaign).frames(**query)
        for atoms in frames:
            atoms.info["name"] = f"{campaign}/{atoms.info['key']}"
        return frames

    def _near_equilibrium(self, split: str) -> list[Atoms]:
        return near_equilibrium(self.cells("random", split), self.params.max_force)


def near_equilibrium(frames: Sequence[Atoms], max_force: float) -> list[Atoms]:
    """Choose cells with max|F_i| < `max_force` (eV/Å): the baseline's share of the mixed pool."""
    return [
        atoms for atoms in frames if np.linalg.norm(atoms.get_forces(), axis=1).max() < max_force
    ]
