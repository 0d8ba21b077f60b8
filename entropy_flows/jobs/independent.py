"""The job of the independent test: relaxed crystals, and plain dynamics from there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ase import Atoms
from pymatgen.core import Structure

from entropy_flows.explore import (
    ExploreParams,
    IndependentParams,
    Run,
    compressed,
    condition_grid,
    draw_runs,
    equilibrium,
    relaxed,
)
from entropy_flows.geometry import to_atoms
from entropy_flows.jobs.common import StageMaker, stage_job
from entropy_flows.jobs.explore import (
    StartCells,
    batch_of,
    count_batches,
    describe,
    explore_batch,
    pack,
)
from entropy_flows.potentials import BatchModel, BatchOfOne, load_batch_model
from entropy_flows.schemas import ExploreDoc
from entropy_flows.settings import settings
from entropy_flows.store import CampaignStore

INDEPENDENT_STREAM = 1_000_033
"""Sets these random streams apart from the exploration's."""


@dataclass
class IndependentMaker(StageMaker):
    """Relax a batch's crystals under their pressure and run plain dynamics from there.

    Parameters
    ----------
    name
        Job name.
    params
        Phases, pressures, temperatures, lengths.
    explore
        Exploration whose phases and pressures are used where `params` has none.
    """

    name: str = "independent"
    params: IndependentParams = field(default_factory=IndependentParams)
    explore: ExploreParams = field(default_factory=ExploreParams)

    @property
    def plain(self) -> ExploreParams:
        """The dynamics' parameters."""
        return self.params.explore_params(self.explore)

    def batches(self, phases: list[str]) -> int:
        """Number of jobs."""
        return count_batches(self.plain, phases)

    @stage_job(ExploreDoc)
    def make(
        self,
        campaign: str,
        iteration: int,
        batch: int,
        seeds: dict[str, Structure],
        model: str,
        seed: int,
    ) -> ExploreDoc:
        """Run one batch; arguments as in `ExploreMaker.make`."""
        store = CampaignStore.open(campaign)
        base = load_batch_model(store.fetch_model(model), device=settings().device)
        grid = condition_grid(self.plain, list(seeds))
        runs = batch_of(
            draw_runs(grid, 1.0, (seed, iteration, INDEPENDENT_STREAM)), self.plain, batch
        )
        starts = _Relaxed(seeds, base, self.params)
        keep = self.params.late_snapshots
        doc = explore_batch(
            (campaign, iteration, batch), runs, starts, base, model, None, self.plain, keep
        )
        still = [
            equilibrium(
                len(grid) + run.index, run.condition.phase, run.condition.pressure, starts(run)
            )
            for run in runs
            if run.condition.temperature == self.plain.temperatures[0] and starts.known(run)
        ]
        return doc.model_copy(
            update={
                "runs": doc.runs + [describe(trajectory.run, trajectory) for trajectory in still],
                "trajectories": doc.trajectories + [pack(trajectory) for trajectory in still],
                "equations_of_state": starts.prescaled.told(),
            }
        )


class _Relaxed:
    """Starting cells: each phase at equilibrium under its pressure, relaxed once."""

    def __init__(self, seeds: Mapping[str, Structure], base: BatchModel, params: IndependentParams):
        self.prescaled, self.calculator, self.params = (
            StartCells(seeds, base),
            BatchOfOne(base),
            params,
        )
        self._cells: dict[tuple[str, float], Atoms] = {}

    def __call__(self, run: Run) -> Atoms:
        phase, pressure = run.condition.phase, run.condition.pressure
        if (phase, pressure) not in self._cells:
            seed = to_atoms(self.prescaled.seeds[phase])
            start = compressed(seed, pressure, self.prescaled.of(phase))
            self._cells[phase, pressure] = relaxed(start, pressure, self.calculator, self.params)
        return self._cells[phase, pressure]

    def known(self, run: Run) -> bool:
        """Whether the run's crystal could be relaxed."""
        return (run.condition.phase, run.condition.pressure) in self._cells
