"""The end of a pool of labels that no model is trained on as it grows: its parts are drawn, and it is done."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from jobflow import job

from entropy_flows.jobs.checkpoint import forget_iteration
from entropy_flows.jobs.common import StageMaker
from entropy_flows.jobs.train import assign_parts, flag_odd
from entropy_flows.label import OutlierParams
from entropy_flows.store import CampaignStore
from entropy_flows.train import TrainParams


@dataclass
class ClosePoolMaker(StageMaker):
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

    name: str = "close"
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
