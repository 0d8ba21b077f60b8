"""The exploration job: a batch of trajectories on the entropy-biased surface."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from ase import Atoms
from pymatgen.core import Structure

from entropy_flows.entropy import Bias, DatasetParams, GlobalBias, LocalBias
from entropy_flows.explore import (
    EquationOfState,
    ExploreParams,
    Run,
    Trajectory,
    condition_grid,
    draw_runs,
    equation_of_state,
    explore,
    prescale,
)
from entropy_flows.faults import defer_sigterm, is_machine_fault
from entropy_flows.fingerprints import GOM, GOMParams
from entropy_flows.geometry import to_atoms
from entropy_flows.jobs.checkpoint import ExploreCheckpoint, checkpoint_folder
from entropy_flows.jobs.common import StageMaker, current_uuid, stage_job
from entropy_flows.potentials import BatchModel, load_batch_model
from entropy_flows.schemas import ExploreDoc, RunDoc
from entropy_flows.settings import settings
from entropy_flows.store import CampaignStore
from entropy_flows.vacuum import vacuum_of


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
        Of the local entropy.
    stream
        Random stream of the runs: others for pools that are compared, which else would have
        trajectories in common.
    """

    name: str = "explore"
    params: ExploreParams = field(default_factory=ExploreParams)
    fingerprint: GOMParams = field(default_factory=lambda: GOMParams(cutoff=3.0, natx=50))
    stream: int | None = None

    def batches(self, phases: list[str]) -> int:
        """Number of jobs the grid makes."""
        return count_batches(self.params, phases)

    def runs(self, phases: list[str], iteration: int, seed: int) -> list[Run]:
        """The grid's runs in an iteration of a campaign with this seed."""
        streams = (seed, iteration) if self.stream is None else (seed, iteration, self.stream)
        return draw_runs(
            condition_grid(self.params, phases), self.params.per_atom_fraction, streams
        )

    @stage_job(ExploreDoc)
    def make(
        self, campaign: str, iteration: int, batch: int, seeds: dict[str, Structure], *, dataset: DatasetParams,
        model: str, seed: int,
    ) -> ExploreDoc:  # fmt: skip
        """Run one batch.

        Parameters
        ----------
        campaign, iteration, batch
            Place of this job.
        seeds
            Phase → seed cell.
        dataset
            Of the global entropy, for `params.surface` "global".
        model
            Reference of the model to explore with.
        seed
            The campaign's seed.
        """
        store = CampaignStore.open(campaign)
        base = load_batch_model(store.fetch_model(model), device=settings().device)
        runs = batch_of(self.runs(list(seeds), iteration, seed), self.params, batch)
        starts, bias = (
            StartCells.of_campaign(store, seeds, model, base),
            self._bias(store, iteration, dataset),
        )
        doc = explore_batch(
            (campaign, iteration, batch), runs, starts, base, model, bias, self.params
        )
        return doc.model_copy(update={"equations_of_state": starts.told()})

    def _bias(self, store: CampaignStore, iteration: int, dataset: DatasetParams) -> Bias:
        """The cell's own entropy, or that of the data set with the cell in it."""
        if self.params.surface == "local":
            return LocalBias(GOM(**dict(self.fingerprint)))
        ledger = store.ledger(dataset)
        return GlobalBias(ledger.fingerprint, ledger.statistics(iteration, "select"))


def count_batches(params: ExploreParams, phases: list[str]) -> int:
    """Number of jobs that a grid makes."""
    return -(-len(condition_grid(params, phases)) // params.batch_size)


def batch_of(runs: Sequence[Run], params: ExploreParams, batch: int) -> list[Run]:
    """The runs of one job."""
    return list(runs[batch * params.batch_size : (batch + 1) * params.batch_size])


class StartCells:
    """Starting cells: seeds at the volume that stands for their pressure.

    Parameters
    ----------
    seeds
        Phase → seed cell.
    base
        Model of the equations of state: the campaign's base model, so that a pressure is the same
        volume in each iteration. A model that has just learned from far-away cells may be wrong at
        the crystals' own minima.
    """

    def __init__(self, seeds: Mapping[str, Structure], base: BatchModel):
        self.seeds, self.base = seeds, base
        self.eos: dict[str, EquationOfState] = {}

    @classmethod
    def of_campaign(
        cls, store: CampaignStore, seeds: Mapping[str, Structure], model: str, loaded: BatchModel
    ) -> Self:
        """With the campaign's base model, which is loaded if it is not `model`, loaded already."""
        first = store.model(0)
        if first is None or first["reference"] == model:
            return cls(seeds, loaded)
        return cls(
            seeds, load_batch_model(store.fetch_model(first["reference"]), device=settings().device)
        )

    def __call__(self, run: Run) -> Atoms:
        """The cell that a run starts from; one with a vacuum starts as it is.

        Raises
        ------
        ValueError
            If the model does not bind the phase, the pressure is too high, or a cell with a vacuum
            has a pressure.
        """
        phase, pressure = run.condition.phase, run.condition.pressure
        atoms = to_atoms(self.seeds[phase])
        if pressure == 0 and vacuum_of(atoms) is not None:
            return atoms
        return prescale(atoms, pressure, self.of(phase))

    def of(self, phase: str) -> EquationOfState:
        """A phase's equation of state, fitted once; a ValueError if its cell has a vacuum."""
        if phase not in self.eos:
            atoms = to_atoms(self.seeds[phase])
            if (vacuum := vacuum_of(atoms)) is not None:
                raise ValueError(
                    f"phase {phase!r} is {vacuum}: no volume of its cell stands for a pressure"
                )
            self.eos[phase] = equation_of_state(atoms, self.base)
        return self.eos[phase]

    def told(self) -> dict[str, dict[str, float]]:
        """All that were fitted, as plain numbers."""
        return {
            phase: {"volume": e.volume, "bulk_modulus": e.bulk_modulus}
            for phase, e in self.eos.items()
        }


def explore_batch(
    place: tuple[str, int, int],
    runs: list[Run],
    start: Callable[[Run], Atoms],
    base: BatchModel,
    model: str,
    bias: Bias | None,
    params: ExploreParams,
    keep: Callable[[Trajectory], Trajectory] = lambda trajectory: trajectory,
) -> ExploreDoc:
    """Prepare the runs' cells, run them and describe what they did; a run without a usable start is told as such.

    `place` is campaign, iteration and batch; `start` gives a run's cell; `model` is the reference
    that `base` was loaded from. A job that was stopped goes on from its last checkpoint.
    """
    campaign, iteration, batch = place
    starts: dict[int, Atoms] = {}
    refused: dict[int, str] = {}
    for run in runs:
        try:
            starts[run.index] = start(run)
        except (
            Exception
        ) as err:  # a model may refuse a phase in many ways; its runs end, the others go on
            if is_machine_fault(err):
                raise
            refused[run.index] = str(err) or type(err).__name__
    usable = [run for run in runs if run.index in starts]
    cells = [starts[run.index] for run in usable]
    file = checkpoint_folder(campaign, iteration, current_uuid()) / "explore.checkpoint"
    checkpoint = ExploreCheckpoint(file, usable, cells, params, model)
    with defer_sigterm():
        trajectories = explore(
            usable, cells, base, bias, params, on_step=checkpoint.step, resume=checkpoint.load()
        )
    kept = [keep(trajectory) for trajectory in trajectories]
    done = {trajectory.run.index: trajectory for trajectory in kept}
    return ExploreDoc(
        iteration=iteration,
        batch=batch,
        runs=[describe(run, done.get(run.index), refused.get(run.index)) for run in runs],
        equations_of_state={},
        trajectories=[pack(trajectory) for trajectory in kept],
    )


def snapshots(doc: ExploreDoc) -> Iterator[tuple[RunDoc, int, Atoms, float]]:
    """(run, step, cell, largest force) of every snapshot of a batch, in order."""
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
    """Where a snapshot came from, as the ledger keeps it."""
    condition = {
        name: getattr(run, name)
        for name in ("phase", "temperature", "k", "pressure", "mode", "seed")
    }
    return {**condition, "run": run.index, "step": step, "model": model, **more}


def describe(run: Run, trajectory: Trajectory | None, refused: str | None = None) -> RunDoc:
    """What is told of a run."""
    condition = run.condition
    finite = trajectory is not None and len(trajectory.steps) > 0
    return RunDoc(
        index=run.index,
        phase=condition.phase,
        temperature=condition.temperature,
        k=condition.k,
        pressure=condition.pressure,
        mode=run.mode,
        seed=run.seed,
        snapshots=len(trajectory) if trajectory else 0,
        mean_temperature=trajectory.mean_temperature if trajectory and finite else None,
        min_distance=trajectory.min_distance if trajectory and finite else None,
        reason=refused if trajectory is None else trajectory.reason,
        wall_seconds=trajectory.wall_seconds if trajectory else 0.0,
    )


def pack(trajectory: Trajectory) -> dict[str, object]:
    """A trajectory as plain data."""
    names = ("numbers", "cell", *Trajectory.PER_SNAPSHOT)
    packed: dict[str, object] = {name: getattr(trajectory, name).tolist() for name in names}
    if trajectory.magmoms is not None:
        packed["magmoms"] = trajectory.magmoms.tolist()
    return {"index": trajectory.run.index, **packed}
