"""The jobs of a learning curve: one trains and tests a model, one ends the curve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ase import Atoms

from entropy_flows.digest import digest
from entropy_flows.evaluate import errors
from entropy_flows.evaluate.curve import draw, draw_mixed
from entropy_flows.jobs.checkpoint import checkpoint_folder
from entropy_flows.jobs.common import StageMaker, current_uuid, stage_job
from entropy_flows.potentials import load_calculator
from entropy_flows.schemas import CurveParams, PointDoc
from entropy_flows.schemas.curve import COMMON_TEST, IN_DISTRIBUTION, INDEPENDENT_TEST
from entropy_flows.settings import settings
from entropy_flows.store import CampaignStore
from entropy_flows.train import TrainParams, fine_tune

CHOSEN: dict[str, Any] = {"stage": {"$nin": ["anchor", "import"]}}
"""Labels of the entropy pool: what selection accepted, not the anchors beside it."""


@dataclass
class PointMaker(StageMaker):
    """One point: draw, train from the base model, test.

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
        self, campaign: str, iteration: int, batch: int, point: tuple[str, int, int], pools: dict[str, str],
        model: str, engine_hash: str,
    ) -> PointDoc:  # fmt: skip
        """Train and test one model, or take the equal point of another curve.

        Parameters
        ----------
        campaign, iteration, batch
            Place of this job.
        point
            Method, N and seed.
        pools
            "entropy", "random", "independent", "common" → campaign whose labels they are; those not
            needed may be missing.
        model
            Reference of the model to start from, among this campaign's.
        engine_hash
            Hash of the label engine's settings.
        """
        method, size, seed = point
        store = CampaignStore.open(campaign)
        pool = Pools(pools, engine_hash, self.params)
        cells, held = pool.training(method, size, seed)
        tests = pool.tests()
        recipe = self.train.model_copy(update={"seed": seed})
        inputs = point_sha256({"train": cells, "val": held, **tests}, recipe, model)
        place: dict[str, Any] = {"method": method, "size": size, "seed": seed}
        if (known := store.equal_point(inputs)) is not None:
            doc = _taken_over(store, known, model, batch, place)
        else:
            folder = checkpoint_folder(campaign, iteration, current_uuid()) / "training"
            result = fine_tune(cells, held, [], store.fetch_model(model), recipe, folder)
            reference = store.save_model(batch + 1, result.model, parent=model, **place)
            calculator = load_calculator(store.fetch_model(reference), device=settings().device)
            doc = PointDoc(
                iteration=iteration,
                **place,
                model=reference,
                inputs_sha256=inputs,
                trained_on=len(cells) - len(result.left_out.get("train", [])),
                validated_on=len(held),
                epochs=result.epochs,
                wall_seconds=result.wall_seconds,
                keys=[atoms.info["name"] for atoms in cells],
                errors={
                    test: errors(frames, calculator).as_dict() for test, frames in tests.items()
                },
            )
        store.save_point(doc.model_dump())
        return doc


def _taken_over(
    store: CampaignStore, known: dict[str, Any], parent: str, batch: int, place: dict[str, Any]
) -> PointDoc:
    """Another curve's point at a place of this one, with a copy of its model."""
    store.save_model(
        batch + 1, store.of(known["campaign"]).fetch_model(known["model"]), parent=parent, **place
    )
    return PointDoc.model_validate({name: known[name] for name in PointDoc.model_fields} | place)


def point_sha256(parts: Mapping[str, Sequence[Atoms]], recipe: TrainParams, model: str) -> str:
    """Checksum of what a point follows from, so that a curve with more points trains only those.

    Parameters
    ----------
    parts
        Labelled cells to train on and to validate with, and of each test.
    recipe
        With the seed of the training.
    model
        Reference of the model to start from.
    """
    cells = {
        part: [(atoms.info["name"], atoms.get_potential_energy()) for atoms in parts[part]]
        for part in parts
    }
    facts = [cells, recipe.identity("committee"), model]
    return digest(facts)


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
        """Cells to train on, and the pool's own validation cells."""
        if method == "campaign":
            everything = [self.cells("entropy", part, {}) for part in ("train", "val")]
            return draw(everything[0], size, seed, "the campaign"), everything[1]
        if method != "mixed":
            return draw(self.cells(method, "train"), size, seed, f"the {method} pool"), self.cells(
                method, "val"
            )
        share = self.params.near_share
        near = {part: self._near(part) for part in ("train", "val")}
        cells = draw_mixed(self.cells("entropy", "train"), near["train"], size, share, seed)
        held = self.cells("entropy", "val")
        few = (
            min(len(near["val"]), round(share / (1 - share) * len(held)))
            if share < 1
            else len(near["val"])
        )
        return cells, held + near["val"][:few]

    def tests(self) -> dict[str, list[Atoms]]:
        """The test sets there are."""
        found = {IN_DISTRIBUTION: self.cells("entropy", "test")}
        if "independent" in self.names:
            found[INDEPENDENT_TEST] = self.cells("independent", None)
        if "common" in self.names:
            found[COMMON_TEST] = self.cells("common", "test")
        return {test: frames for test, frames in found.items() if frames}

    def cells(self, pool: str, part: str | None, of: dict[str, Any] | None = None) -> list[Atoms]:
        """A part of a pool, in ledger order; None for all of it. `of` is a query in place of `CHOSEN`."""
        campaign = self.names[pool]
        query = {"engine_hash": self.engine_hash, **(CHOSEN if of is None else of)}
        query |= {} if part is None else {"split": part}
        frames = CampaignStore.open(campaign).frames(**query)
        for atoms in frames:
            atoms.info["name"] = f"{campaign}/{atoms.info['key']}"
        return frames

    def _near(self, part: str) -> list[Atoms]:
        return near_equilibrium(self.cells("random", part), self.params.max_force)


def near_equilibrium(frames: Sequence[Atoms], max_force: float) -> list[Atoms]:
    """Labelled cells with max|F_i| < `max_force` (eV/Å): the baseline's share of the mixed pool."""
    return [
        atoms for atoms in frames if np.linalg.norm(atoms.get_forces(), axis=1).max() < max_force
    ]
