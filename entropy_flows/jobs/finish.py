"""The last jobs of a pool, a learning curve and a data set without physics: each writes down the result."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from jobflow import job

from entropy_flows.jobs.checkpoint import forget_iteration
from entropy_flows.jobs.common import StageMaker, document
from entropy_flows.jobs.train import assign_parts, flag_odd
from entropy_flows.label import OutlierParams
from entropy_flows.schemas import AdmitDoc
from entropy_flows.store import CampaignStore
from entropy_flows.train import TrainParams


@dataclass
class FinishPoolMaker(StageMaker):
    """Flag odd labels, draw training, validation and test part, and say that the pool is done.

    Parameters
    ----------
    name
        Job name.
    params
        Fractions and seed of the parts.
    outliers
        When a label is flagged.
    """

    name: str = "finish"
    params: TrainParams = field(default_factory=TrainParams)
    outliers: OutlierParams = field(default_factory=OutlierParams)

    @job
    def make(
        self, campaign: str, iteration: int, labelled: Any, model: str, engine_hash: str
    ) -> dict[str, Any]:
        """Close the pool; `labelled` only makes this job wait for the labels."""
        store = CampaignStore.open(campaign)
        flag_odd(store, iteration, model, engine_hash, self.outliers)
        frames = store.frames(engine_hash=engine_hash)
        parts = assign_parts(store, frames, iteration, self.params) if frames else {}
        failed = Counter(label["reason"] for label in store.labels(engine_hash, converged=False))
        reasons = "".join(f", {count} × {reason}" for reason, count in failed.items())
        sizes = ", ".join(f"{len(cells)} {part}" for part, cells in parts.items())
        message = (
            f"pool of {len(frames)} labels ({sizes}){reasons}" if frames else f"no label{reasons}"
        )
        store.set_state("done" if frames else "failed", message)
        forget_iteration(campaign, iteration)
        return {"labels": len(frames), "message": message}


@dataclass
class FinishCurveMaker(StageMaker):
    """Say that a curve is done."""

    name: str = "finish"

    @job
    def make(self, campaign: str, iteration: int, points: list[Any]) -> dict[str, Any]:
        """End it; `points` makes this job wait for them."""
        store = CampaignStore.open(campaign)
        done, failed = len(store.points()), len(store.failures(stage="point"))
        message = f"{done} of {len(points)} points" + (
            f", {failed} failed (see failures)" if failed else ""
        )
        store.set_state("done" if done else "failed", message)
        forget_iteration(campaign, iteration)
        return {"points": done, "message": message}


@dataclass
class FinishDatasetMaker(StageMaker):
    """Say that the data set is done."""

    name: str = "finish"

    @job
    def make(
        self, campaign: str, iteration: int, admitted: Any, labelled: list[Any]
    ) -> dict[str, Any]:
        """End it; `labelled` makes this job wait for the labels."""
        store, doc = CampaignStore.open(campaign), document(AdmitDoc, admitted)
        if doc is None:
            failure = next(reversed(store.failures()), None)
            message = f"{failure['place']}: {failure['message']}" if failure else "no cells"
            store.set_state("failed", message)
            return {"message": message}
        lost = len(store.failures(stage="ascend"))
        message = f"{doc.cells} cells, {doc.atoms} atoms" + (
            f"; {lost} runs failed (see failures)" if lost else ""
        )
        if labelled:
            good = sum(1 for _ in store.labels(converged=True))
            message += f"; {good} labels"
        store.set_state("done", message)
        store.record(iteration, admit=doc.model_dump())
        for done in store.iterations():
            forget_iteration(campaign, done["iteration"])
        return {"message": message}
