"""The exploration job: a batch of trajectories on the entropy-biased surface."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from ase import Atoms
from pymatgen.core import Structure

from entropy_flows import progress
from entropy_flows.entropy import (
    Bias,
    GlobalBias,
    LocalBias,
    SoftBias,
    TargetBias,
    thermal_distance,
)
from entropy_flows.explore import (
    Ensemble,
    ExploreParams,
    Run,
    Trajectory,
    condition_grid,
    draw_runs,
    explore,
    grid_phases,
)
from entropy_flows.faults import defer_sigterm, is_machine_fault
from entropy_flows.fingerprints import GOM, GOMParams
from entropy_flows.geometry import to_atoms
from entropy_flows.jobs.checkpoint import ExploreCheckpoint, checkpoint_folder
from entropy_flows.jobs.common import StageMaker, current_uuid, stage_job
from entropy_flows.jobs.context import IterationContext
from entropy_flows.jobs.exploring import Form, load_exploring_model
from entropy_flows.jobs.source import source_batch
from entropy_flows.jobs.start_cells import StartCells
from entropy_flows.potentials import BatchModel
from entropy_flows.schemas import ExploreDoc, RunDoc
from entropy_flows.settings import settings
from entropy_flows.store import CampaignStore


@dataclass
class ExploreMaker(StageMaker):
    """Explore a batch of the condition grid.

    Parameters
    ----------
    name
        Job name.
    params
        Grid, dynamics and limits.
    fingerprint
        Fingerprint of the local entropy.
    stream
        Random stream of the runs. Pools that are compared have others, or they would have
        trajectories in common.
    """

    name: str = "explore"
    params: ExploreParams = field(default_factory=ExploreParams)
    fingerprint: GOMParams = field(default_factory=lambda: GOMParams(cutoff=3.0, natx=50))
    stream: int | None = None

    def batches(self, phases: list[str]) -> int:
        """Count the jobs that the grid makes, and the one that reads files if there are some."""
        return self._dynamics_batches(phases) + bool(self.params.source)

    def _dynamics_batches(self, phases: list[str]) -> int:
        """Count the jobs of dynamics, which come first."""
        return count_batches(self.params, phases) if self.params.dynamics else 0

    def runs(self, phases: list[str], iteration: int, seed: int) -> list[Run]:
        """Draw the grid's runs in an iteration of a campaign with this seed."""
        streams = (seed, iteration) if self.stream is None else (seed, iteration, self.stream)
        grid = condition_grid(self.params, phases)
        return draw_runs(grid, self.params.per_atom_fraction, streams)

    @stage_job(ExploreDoc)
    def make(
        self, context: IterationContext, *, batch: int, seeds: dict[str, Structure]
    ) -> ExploreDoc:
        """Run one batch.

        Parameters
        ----------
        context
            Constants of the iteration.
        batch
            Number of this job among those of the grid.
        seeds
            Phase → seed cell.
        """
        store = CampaignStore.open(context.campaign)
        if batch >= self._dynamics_batches(list(seeds)):
            return source_batch(store, context, batch, self.params)
        job = f"{self.name}_{batch}"
        model, form = load_exploring_model(store, context, self.params, job, seeds)
        runs = self.runs(list(seeds), context.iteration, context.seed)
        starts = StartCells.of_campaign(store, seeds, context.model, model)
        batch_document = explore_batch(
            context,
            batch,
            batch_of(runs, self.params, batch),
            start=starts,
            model=model,
            bias=self._bias(store, context, seeds),
            params=self.params,
            form=form,
        )
        return batch_document.model_copy(update={"equations_of_state": starts.fitted()})

    def _bias(
        self, store: CampaignStore, context: IterationContext, seeds: dict[str, Structure]
    ) -> Bias:
        """Build the bias from the cell's entropy, or from the data set's with the cell in it.

        Before there is a target, the surface "variance" is that of the cell's own entropy.
        """
        if self.params.surface == "local":
            return LocalBias(GOM(**dict(self.fingerprint)))
        if self.params.surface == "soft":
            return self._soft_bias(seeds)
        ledger = store.ledger(context.dataset)
        if self.params.surface == "global":
            return GlobalBias(ledger.fingerprint, ledger.statistics(context.iteration, "select"))
        # its own target is made of what it explores
        variance = ledger.variance(context.iteration, "select", target=context.iteration - 1)
        if variance is None:
            return LocalBias(GOM(**dict(self.fingerprint)))
        return TargetBias(ledger.fingerprint, variance)

    def _soft_bias(self, seeds: dict[str, Structure]) -> SoftBias:
        """Build the soft bias, whose floor is what thermal motion makes in the grid's phases."""
        fingerprint = GOM(**dict(self.fingerprint))
        cells = [to_atoms(seeds[phase]) for phase in grid_phases(self.params, list(seeds))]
        floor = thermal_distance(fingerprint, cells, self.params.thermal_displacement)
        return SoftBias(fingerprint, floor, self.params.softness)


def count_batches(params: ExploreParams, phases: list[str]) -> int:
    """Count the jobs that a grid makes."""
    return -(-len(condition_grid(params, phases)) // params.batch_size)


def batch_of(runs: Sequence[Run], params: ExploreParams, batch: int) -> list[Run]:
    """Return the runs of one job."""
    return list(runs[batch * params.batch_size : (batch + 1) * params.batch_size])


def explore_batch(
    context: IterationContext,
    batch: int,
    runs: list[Run],
    *,
    start: Callable[[Run], Atoms],
    model: BatchModel,
    bias: Bias | None,
    params: ExploreParams,
    keep: Callable[[Trajectory], Trajectory] = lambda trajectory: trajectory,
    form: Form = "eager",
) -> ExploreDoc:
    """Prepare the runs' cells, run them and describe what they did.

    A job that was stopped goes on from its last checkpoint.

    Parameters
    ----------
    context
        Constants of the iteration; its `model` is the reference that `model` was loaded from.
    batch
        Number of the job.
    runs
        Runs of the job. One without a usable start is described with its reason.
    start
        Builds a run's starting cell.
    model
        Model of the dynamics.
    bias
        Entropy bias; None for plain dynamics.
    params
        Dynamics and limits.
    keep
        Chooses the snapshots of a trajectory that are kept.
    form
        Form of the model. A job that goes on with another one begins again.
    """
    cells, refusals = _start_cells(runs, start)
    usable = [run for run in runs if run.index in cells]
    starts = [cells[run.index] for run in usable]
    folder = checkpoint_folder(context.campaign, context.iteration, current_uuid())
    path = folder / "explore.checkpoint"
    checkpoint = ExploreCheckpoint(path, usable, starts, params, f"{context.model} {form}")

    def on_step(ensemble: Ensemble) -> None:
        done = ensemble.step + params.warm_up + params.ramp
        progress.report(done, params.all_steps, "steps", ensemble.note())
        checkpoint.step(ensemble)

    with defer_sigterm():
        trajectories = explore(
            usable,
            starts,
            model,
            bias,
            params,
            on_step=on_step,
            resume=checkpoint.load(),
            bias_on=settings().bias_on,
        )
    chosen = [keep(trajectory) for trajectory in trajectories]
    by_run = {trajectory.run.index: trajectory for trajectory in chosen}
    return ExploreDoc(
        iteration=context.iteration,
        batch=batch,
        runs=[describe(run, by_run.get(run.index), refusals.get(run.index)) for run in runs],
        equations_of_state={},
        trajectories=[pack(trajectory) for trajectory in chosen],
    )


def _start_cells(
    runs: Sequence[Run], start: Callable[[Run], Atoms]
) -> tuple[dict[int, Atoms], dict[int, str]]:
    """Build starting cells by the run's index, and the reasons of those that have none."""
    cells: dict[int, Atoms] = {}
    refusals: dict[int, str] = {}
    for run in runs:
        try:
            cells[run.index] = start(run)
        # a model may refuse a phase in many ways; its runs end, the others go on
        except Exception as err:
            if is_machine_fault(err):
                raise
            refusals[run.index] = str(err) or type(err).__name__
    return cells, refusals


def snapshots(doc: ExploreDoc) -> Iterator[tuple[RunDoc, int, Atoms, float]]:
    """Yield (run, step, cell, largest force) of every snapshot of a batch, in order."""
    runs = {run.index: run for run in doc.runs}
    for packed in doc.trajectories:
        rows = zip(packed["steps"], packed["positions"], packed["max_forces"], strict=True)
        cell = {
            "numbers": packed["numbers"],
            "cell": packed["cell"],
            "magmoms": packed.get("magmoms"),
        }
        for step, positions, force in rows:
            atoms = Atoms(positions=positions, pbc=True, **cell)
            yield runs[packed["index"]], int(step), atoms, float(force)


def origin(run: RunDoc, step: int, model: str, **more: object) -> dict[str, object]:
    """Describe where a snapshot came from, as the ledger keeps it."""
    names = ("phase", "temperature", "k", "pressure", "mode", "seed")
    condition = {name: getattr(run, name) for name in names}
    if run.source is not None:
        condition["source"] = run.source
    return {**condition, "run": run.index, "step": step, "model": model, **more}


def describe(run: Run, trajectory: Trajectory | None, refusal: str | None = None) -> RunDoc:
    """Build the record of one MD run; `refusal` is the reason why it has no trajectory."""
    condition = run.condition
    sampled = trajectory is not None and len(trajectory.steps) > 0
    return RunDoc(
        index=run.index,
        phase=condition.phase,
        temperature=condition.temperature,
        k=condition.k,
        pressure=condition.pressure,
        mode=run.mode,
        seed=run.seed,
        snapshots=len(trajectory) if trajectory else 0,
        mean_temperature=trajectory.mean_temperature if trajectory and sampled else None,
        min_distance=trajectory.min_distance if trajectory and sampled else None,
        reason=refusal if trajectory is None else trajectory.reason,
        wall_seconds=trajectory.wall_seconds if trajectory else 0.0,
    )


def pack(trajectory: Trajectory) -> dict[str, object]:
    """Return a trajectory as plain data."""
    names = ("numbers", "cell", *Trajectory.PER_SNAPSHOT)
    packed: dict[str, object] = {name: getattr(trajectory, name).tolist() for name in names}
    if trajectory.magmoms is not None:
        packed["magmoms"] = trajectory.magmoms.tolist()
    return {"index": trajectory.run.index, **packed}
