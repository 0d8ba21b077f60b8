"""The cells of replay: around the seeds, of plain dynamics, and of other phases."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ase import Atoms
from pymatgen.core import Structure

from entropy_flows.distill.labelling import labelled
from entropy_flows.distill.surroundings import Surroundings
from entropy_flows.explore import (
    ExploreParams,
    Run,
    condition_grid,
    draw_runs,
    equation_of_state,
    explore,
)
from entropy_flows.explore.simple_crystals import simple_crystals
from entropy_flows.faults import defer_sigterm, is_machine_fault
from entropy_flows.geometry import cell_as_dict, scaled_to_volume, to_atoms
from entropy_flows.jobs.checkpoint import ExploreCheckpoint, checkpoint_folder
from entropy_flows.jobs.common import current_uuid
from entropy_flows.jobs.context import IterationContext
from entropy_flows.potentials import BatchModel
from entropy_flows.train.replay_params import ReplayParams
from entropy_flows.vacuum import vacuum_of

REPLAY_STREAM = 1_000_039
"""Separates these random streams from the exploration's."""
HELD_OUT_EVERY = 4
"""The last one of so many cells of a group is held out."""
VOLUME_WINDOWS = 12
"""Windows of volumes in which another phase's equilibrium is looked for: to half or twice the
first guess.
"""
FRICTION = 0.02
"""Langevin friction (1/fs)."""


@dataclass
class ReplaySource:
    """Makes the cells of replay on one model.

    Parameters
    ----------
    context
        Constants of the iteration.
    seeds
        Phase → seed cell.
    params
        Kinds and numbers of cells.
    model
        The first model.
    reference
        Its reference in the store.

    Attributes
    ----------
    refused
        Why a phase or a cell was left out → count.
    """

    context: IterationContext
    seeds: Mapping[str, Structure]
    params: ReplayParams
    model: BatchModel
    reference: str
    refused: dict[str, int] = field(default_factory=dict)

    def cells(self) -> list[dict[str, Any]]:
        """Make and label all cells, as plain data for the database."""
        rows = []
        for kind, source, group in self._groups():
            for index, frame in enumerate(self._labelled(group)):
                held_out = index % HELD_OUT_EVERY == HELD_OUT_EVERY - 1
                row = {"kind": kind, "source": source, "held_out": held_out}
                rows.append(row | _plain(frame))
        return rows

    def _groups(self) -> Iterator[tuple[str, str, list[Atoms]]]:
        """Yield kind, source and cells of each group."""
        params = self.params
        around = self._around({name: to_atoms(seed) for name, seed in self.seeds.items()})
        for number, (phase, cells) in enumerate(around.items()):
            rng = self._stream(number)
            yield "crystals", phase, _crystals(cells, params.crystals, rng)
            yield "close pairs", phase, cells.close_pairs(params.close_pairs, rng)
        yield from self._dynamics({phase: cells.moving for phase, cells in around.items()})
        if params.other_phases:
            others = self._around(self._other_phases())
            for number, (name, cells) in enumerate(others.items(), len(self.seeds)):
                crystals = _crystals(cells, params.other_phases, self._stream(number))
                yield "other phases", name, crystals

    def _stream(self, number: int) -> np.random.Generator:
        return np.random.default_rng([self.context.seed, REPLAY_STREAM, number])

    def _around(self, crystals: Mapping[str, Atoms]) -> dict[str, Surroundings]:
        """Return the surroundings of crystals, without those that the model does not bind."""
        surroundings = {}
        for name, crystal in crystals.items():
            try:
                cells = Surroundings.of(name, crystal, self.model, (0.0,))
            # A model may refuse a crystal in many ways; the others are there without it.
            except Exception as err:
                if is_machine_fault(err):
                    raise
                self._refuse(f"{name}: {str(err) or type(err).__name__}")
                continue
            if cells.note and vacuum_of(cells.still) is None:
                self._refuse(f"{name}: {cells.note}")
            else:
                surroundings[name] = cells
        return surroundings

    def _other_phases(self) -> dict[str, Atoms]:
        """Return simple crystals of the elements, near their equilibrium where there is one."""
        cells = [to_atoms(seed) for seed in self.seeds.values()]
        elements = sorted({symbol for cell in cells for symbol in cell.get_chemical_symbols()})
        scaled = {}
        for name, crystal in simple_crystals(elements).items():
            try:
                volume = equation_of_state(crystal, self.model, attempts=VOLUME_WINDOWS).volume
                scaled[name] = scaled_to_volume(crystal, volume * len(crystal))
            except Exception as err:
                if is_machine_fault(err):
                    raise
                self._refuse(f"{name}: {str(err) or type(err).__name__}")
        return scaled

    def _dynamics(self, crystals: Mapping[str, Atoms]) -> Iterator[tuple[str, str, list[Atoms]]]:
        """Yield the snapshots of each run of plain dynamics from a cell of each phase."""
        params = self.params
        if not params.temperatures or not crystals:
            return
        plain = ExploreParams(
            temperatures=params.temperatures,
            entropy_weights=(0.0,),
            warm_up=0,
            ramp=0,
            steps=params.steps,
            snapshot_every=max(1, params.steps // params.snapshots),
            timestep=params.timestep,
            friction=FRICTION,
        )
        grid = condition_grid(plain, list(crystals))
        runs = draw_runs(grid, 1.0, (self.context.seed, REPLAY_STREAM))
        starts = [crystals[run.condition.phase] for run in runs]
        checkpoint = self._checkpoint(runs, starts, plain)
        with defer_sigterm():
            trajectories = explore(
                runs,
                starts,
                self.model,
                None,
                plain,
                on_step=checkpoint.step,
                resume=checkpoint.load(),
            )
        for run, trajectory in zip(runs, trajectories, strict=True):
            name = f"{run.condition.phase}, {run.condition.temperature:g} K"
            if trajectory.reason is not None:
                self._refuse(f"{name}: {trajectory.reason}")
            cells = [atoms for _, atoms in trajectory.snapshots()]
            yield "dynamics", name, cells[: params.snapshots]

    def _checkpoint(
        self, runs: Sequence[Run], starts: Sequence[Atoms], plain: ExploreParams
    ) -> ExploreCheckpoint:
        context = self.context
        folder = checkpoint_folder(context.campaign, context.iteration, current_uuid())
        return ExploreCheckpoint(folder / "replay.checkpoint", runs, starts, plain, self.reference)

    def _labelled(self, cells: Sequence[Atoms]) -> list[Atoms]:
        """Label cells, without those that the model refuses or whose labels are useless."""
        try:
            frames = labelled(cells, self.model)
        # One cell that is refused must not take the others with it.
        except Exception as err:
            if is_machine_fault(err):
                raise
            frames = [frame for cell in cells for frame in self._alone(cell)]
        for _ in range(len(cells) - len(frames)):
            self._refuse("no label, or one with too large a force")
        return frames

    def _alone(self, cell: Atoms) -> list[Atoms]:
        try:
            return labelled([cell], self.model)
        except Exception as err:
            if is_machine_fault(err):
                raise
            return []

    def _refuse(self, reason: str) -> None:
        self.refused[reason] = self.refused.get(reason, 0) + 1


def _crystals(cells: Surroundings, count: int, rng: np.random.Generator) -> list[Atoms]:
    """Return the crystal itself, and strained and rattled ones."""
    return [cells.still, *cells.strained(count - 1, rng)] if count else []


def _plain(frame: Atoms) -> dict[str, Any]:
    """Return a labelled cell as plain data; all are periodic."""
    results = frame.calc.results
    stress = results.get("stress")
    return {
        **cell_as_dict(frame),
        "energy": float(results["energy"]),
        "forces": results["forces"].tolist(),
        "stress": None if stress is None else stress.tolist(),
    }
