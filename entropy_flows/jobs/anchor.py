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
from entropy_flows.jobs.context import IterationContext
from entropy_flows.jobs.explore import batch_of, count_batches, explore_batch
from entropy_flows.jobs.exploring import load_exploring_model
from entropy_flows.jobs.start_cells import StartCells
from entropy_flows.schemas import ExploreDoc
from entropy_flows.store import CampaignStore

ANCHOR_STREAM = 1_000_003
"""Separates the anchors' random streams from the exploration's."""


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
        """Return an exploration's parameters without bias, at the anchors' own conditions."""
        return explore.model_copy(
            update={
                "entropy_weights": (0.0,),
                "ramp": 0,
                "temperatures": self.params.temperatures or explore.temperatures,
                "pressures": self.params.pressures or explore.pressures,
            }
        )

    def batches(self, explore: ExploreParams, phases: list[str]) -> int:
        """Count the jobs that the anchors' grid makes."""
        return count_batches(self.plain(explore), phases)

    @stage_job(ExploreDoc)
    def make(
        self,
        context: IterationContext,
        *,
        batch: int,
        seeds: dict[str, Structure],
        explore: ExploreParams,
    ) -> ExploreDoc:
        """Run one batch of the anchors' conditions.

        Parameters
        ----------
        context, batch, seeds
            As of `ExploreMaker.make`.
        explore
            Exploration whose phases, times and (by default) temperatures and pressures are used.
        """
        plain = self.plain(explore)
        store = CampaignStore.open(context.campaign)
        job = f"{self.name}_{batch}"
        model, form = load_exploring_model(store, context, explore, job, seeds)
        grid = condition_grid(plain, list(seeds))
        runs = draw_runs(grid, 1.0, (context.seed, context.iteration, ANCHOR_STREAM))
        starts = StartCells.of_campaign(store, seeds, context.model, model)
        batch_document = explore_batch(
            context,
            batch,
            batch_of(runs, plain, batch),
            start=starts,
            model=model,
            bias=None,
            params=plain,
            keep=lambda trajectory: keep_near_equilibrium(trajectory, self.params.max_force),
            form=form,
        )
        return batch_document.model_copy(update={"equations_of_state": starts.fitted()})
