"""The job of the independent test: relaxed crystals, and plain dynamics from there."""

from __future__ import annotations

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
from entropy_flows.jobs.context import IterationContext
from entropy_flows.jobs.explore import (
    batch_of,
    count_batches,
    describe,
    explore_batch,
    pack,
)
from entropy_flows.jobs.start_cells import StartCells
from entropy_flows.potentials import BatchModel, BatchOfOne, load_batch_model
from entropy_flows.schemas import ExploreDoc
from entropy_flows.settings import settings
from entropy_flows.store import CampaignStore

INDEPENDENT_STREAM = 1_000_033
"""Separates these random streams from the exploration's."""


@dataclass
class IndependentMaker(StageMaker):
    """Relax a batch's crystals under their pressure and run plain dynamics from them.

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
        """Parameters of the dynamics."""
        return self.params.explore_params(self.explore)

    def batches(self, phases: list[str]) -> int:
        """Count the jobs."""
        return count_batches(self.plain, phases)

    @stage_job(ExploreDoc)
    def make(
        self, context: IterationContext, *, batch: int, seeds: dict[str, Structure]
    ) -> ExploreDoc:
        """Run one batch; arguments as of `ExploreMaker.make`."""
        plain = self.plain
        store = CampaignStore.open(context.campaign)
        model = load_batch_model(store.fetch_model(context.model), device=settings().device)
        grid = condition_grid(plain, list(seeds))
        streams = (context.seed, context.iteration, INDEPENDENT_STREAM)
        runs = batch_of(draw_runs(grid, 1.0, streams), plain, batch)
        scaled = StartCells(store, seeds, context.model, lambda: model)
        starts = _RelaxedCells(scaled, model, self.params)
        dynamics = explore_batch(
            context,
            batch,
            runs,
            start=starts,
            model=model,
            bias=None,
            params=plain,
            keep=self.params.late_snapshots,
        )
        # a crystal is the same at each temperature: it enters with the first one
        crystals = [
            equilibrium(
                len(grid) + run.index, run.condition.phase, run.condition.pressure, starts(run)
            )
            for run in runs
            if run.condition.temperature == plain.temperatures[0] and starts.has(run)
        ]
        records = [describe(trajectory.run, trajectory) for trajectory in crystals]
        packed = [pack(trajectory) for trajectory in crystals]
        return dynamics.model_copy(
            update={
                "runs": dynamics.runs + records,
                "trajectories": dynamics.trajectories + packed,
                "equations_of_state": starts.scaled.fitted(),
            }
        )


class _RelaxedCells:
    """Starting cells: each phase at equilibrium under its pressure, relaxed once."""

    def __init__(self, scaled: StartCells, model: BatchModel, params: IndependentParams):
        self.scaled = scaled
        self.calculator = BatchOfOne(model)
        self.params = params
        self._cells: dict[tuple[str, float], Atoms] = {}

    def __call__(self, run: Run) -> Atoms:
        phase = run.condition.phase
        pressure = run.condition.pressure
        if (phase, pressure) not in self._cells:
            seed = to_atoms(self.scaled.seeds[phase])
            start = compressed(seed, pressure, self.scaled.equation_of(phase))
            self._cells[phase, pressure] = relaxed(start, pressure, self.calculator, self.params)
        return self._cells[phase, pressure]

    def has(self, run: Run) -> bool:
        """Tell whether the run's crystal could be relaxed."""
        return (run.condition.phase, run.condition.pressure) in self._cells
