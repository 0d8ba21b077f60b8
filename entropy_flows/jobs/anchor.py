"""The anchor job: plain dynamics, near-equilibrium snapshots."""

from __future__ import annotations

from dataclasses import dataclass, field

from jobflow import Maker
from pymatgen.core import Structure

from entropy_flows.explore import AnchorParams, ExploreParams, condition_grid, draw_runs, keep_near_equilibrium
from entropy_flows.jobs.common import stage_job
from entropy_flows.jobs.explore import explore_batch
from entropy_flows.potentials import load_batch_model
from entropy_flows.schemas import ExploreDoc
from entropy_flows.settings import settings
from entropy_flows.store import CampaignStore

ANCHOR_STREAM = 1_000_003
"""Sets the anchors' random streams apart from the exploration's."""


@dataclass
class AnchorMaker(Maker):
    """Run the anchors' dynamics at k = 0 and keep what stays near equilibrium.

    Parameters
    ----------
    name
        Job name.
    params
        Force limit and the anchors' own temperatures and pressures, if any.
    explore
        Exploration whose phases, times and (by default) temperatures and pressures are used.
    """

    name: str = "anchor"
    params: AnchorParams = field(default_factory=AnchorParams)
    explore: ExploreParams = field(default_factory=ExploreParams)

    @stage_job(ExploreDoc)
    def make(self, campaign: str, iteration: int, seeds: dict[str, Structure], model: str, seed: int) -> ExploreDoc:
        """Run all anchor conditions; arguments as in `ExploreMaker.make`."""
        store = CampaignStore.open(campaign)
        base = load_batch_model(store.fetch_model(model), device=settings().device)
        plain = self.explore.model_copy(
            update={
                "entropy_weights": (0.0,),
                "ramp": 0,
                "temperatures": self.params.temperatures or self.explore.temperatures,
                "pressures": self.params.pressures or self.explore.pressures,
            }
        )
        runs = draw_runs(condition_grid(plain, list(seeds)), 1.0, (seed, iteration, ANCHOR_STREAM))
        return explore_batch(
            iteration,
            0,
            runs,
            seeds,
            base,
            None,
            plain,
            keep=lambda trajectory: keep_near_equilibrium(trajectory, self.params.max_force),
        )
