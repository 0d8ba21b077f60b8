"""The anchor job: plain dynamics, near-equilibrium snapshots."""

from __future__ import annotations

from dataclasses import dataclass, field

from pymatgen.core import Structure

from entropy_flows.explore import (
    AnchorParams,
    ExploreParams,
    condition_grid,
    draw_runs,
    keep_near_equilibrium,
)
from entropy_flows.jobs.common import StageMaker, stage_job
from entropy_flows.jobs.explore import StartCells, batch_of, count_batches, explore_batch
from entropy_flows.potentials import load_batch_model
from entropy_flows.schemas import ExploreDoc
from entropy_flows.settings import settings
from entropy_flows.store import CampaignStore

ANCHOR_STREAM = 1_000_003
"""Sets the anchors' random streams apart from the exploration's."""


@dataclass
class AnchorMaker(StageMaker):
    """Run the anchors' dynamics at k = 0 and keep what stays near equilibrium.

    Parameters
    ----------
    name
        Job name.
    params
        Force limit, share of the labels, and the anchors' own temperatures and pressures, if any.
    """

    name: str = "anchor"
    params: AnchorParams = field(default_factory=AnchorParams)

    def plain(self, explore: ExploreParams) -> ExploreParams:
        """An exploration's parameters without bias, at the anchors' own conditions."""
        return explore.model_copy(
            update={
                "entropy_weights": (0.0,),
                "ramp": 0,
                "temperatures": self.params.temperatures or explore.temperatures,
                "pressures": self.params.pressures or explore.pressures,
            }
        )

    def batches(self, explore: ExploreParams, phases: list[str]) -> int:
        """Number of jobs the anchors' grid makes."""
        return count_batches(self.plain(explore), phases)

    @stage_job(ExploreDoc)
    def make(
        self, campaign: str, iteration: int, batch: int, seeds: dict[str, Structure], *, explore: ExploreParams,
        model: str, seed: int,
    ) -> ExploreDoc:  # fmt: skip
        """Run one batch of the anchors' conditions; arguments as in `ExploreMaker.make`.

        `explore` is the exploration whose phases, times and (by default) temperatures and pressures
        are used.
        """
        plain = self.plain(explore)
        store = CampaignStore.open(campaign)
        base = load_batch_model(store.fetch_model(model), device=settings().device)
        runs = draw_runs(condition_grid(plain, list(seeds)), 1.0, (seed, iteration, ANCHOR_STREAM))
        starts = StartCells.of_campaign(store, seeds, model, base)
        doc = explore_batch(
            (campaign, iteration, batch),
            batch_of(runs, plain, batch),
            starts,
            base,
            model,
            None,
            plain,
            keep=lambda trajectory: keep_near_equilibrium(trajectory, self.params.max_force),
        )
        return doc.model_copy(update={"equations_of_state": starts.told()})
