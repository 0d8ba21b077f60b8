"""Advance the trajectories of a batch together on the entropy-biased surface.

    E_explore = E_base − k(t) B          (Wang 2026, Eqs. 6 and 7);   F = F_base + k(t) ∂B/∂r

k(t)  0 during the warm-up, then rising linearly over the ramp, then the condition's k (eV)
B     the local entropy of the cell (surfaces "local" and "soft"), log det Σ(D ∪ {cell})
      (surface "global") or the logarithm of what the cell takes off the unknown of a target
      (surface "variance")

One evaluation of the base model and one of the bias serve all cells of the batch. Each trajectory
has its own temperature, k, mode and random numbers, so it does not depend on its batch mates beyond
the rounding of the model's own sums. One that fails, explodes or collapses leaves the batch with
its reason, and the others go on. The integrator is in `langevin`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from ase import Atoms
from torch import Tensor

from entropy_flows.batch import Batch
from entropy_flows.entropy import Bias
from entropy_flows.explore.conditions import ExploreParams, Run
from entropy_flows.explore.evaluate import MAX_DISPLACEMENT, Evaluation, Evaluator
from entropy_flows.explore.langevin import Langevin
from entropy_flows.explore.limits import LOST, beyond, exploded, ramp
from entropy_flows.explore.trajectory import Record, Trajectory
from entropy_flows.geometry import shortest_distances
from entropy_flows.potentials import BatchModel
from entropy_flows.settings import BiasDevice


def explore(
    runs: Sequence[Run],
    starts: Sequence[Atoms],
    model: BatchModel,
    bias: Bias | None,
    params: ExploreParams,
    *,
    on_done: Callable[[Trajectory], None] | None = None,
    on_step: Callable[[Ensemble], None] | None = None,
    resume: dict[str, Any] | None = None,
    bias_on: BiasDevice = "fastest",
) -> list[Trajectory]:
    """Run trajectories together, from their starts to their ends.

    Parameters
    ----------
    runs
        What to run.
    starts
        Starting cell of each run, already at its volume; not changed.
    model
        Energies and forces.
    bias
        The entropy; None only if every k is 0.
    params
        Lengths, friction, limits.
    on_done
        Called with each trajectory as it ends.
    on_step
        Called after each step: for progress, and for keeping `Ensemble.state()`.
    resume
        A state to go on from; the result is what it would have been without the interruption.
    bias_on
        Where the bias is computed beside a model on a GPU, as of `Evaluator`.

    Returns
    -------
    list of Trajectory
        In the order of `runs`.
    """
    if not runs:
        return []
    ensemble = Ensemble(runs, starts, model, bias, params, on_done, resume, bias_on)
    while ensemble.step < params.steps and ensemble.alive:
        ensemble.advance()
        if on_step is not None:
            on_step(ensemble)
    return ensemble.finish()


class Ensemble:
    """Hold trajectories at one step; the parameters are those of `explore`.

    Attributes
    ----------
    step
        The last step done: 1 is the first sampled one, those of warm-up and ramp come before it.
    alive
        Numbers of the runs that still go on, in the order in which the batch holds their cells.
    """

    batch: Batch
    langevin: Langevin
    v: Tensor
    now: Evaluation

    def __init__(
        self,
        runs: Sequence[Run],
        starts: Sequence[Atoms],
        model: BatchModel,
        bias: Bias | None,
        params: ExploreParams,
        on_done: Callable[[Trajectory], None] | None = None,
        resume: dict[str, Any] | None = None,
        bias_on: BiasDevice = "fastest",
    ) -> None:
        if bias is None and any(run.condition.k for run in runs):
            raise ValueError("a run has k > 0, but there is no bias")
        self.params = params
        self.on_done = on_done
        self._begin = -params.warm_up - params.ramp
        self.step = self._begin
        self.records = [Record(run, start) for run, start in zip(runs, starts, strict=True)]
        self.evaluator = Evaluator(model, bias, [run.mode for run in runs], bias_on)
        self.alive = list(range(len(runs)))
        self._bounded: Evaluation | None = None
        """Evaluation whose forces, and velocities after it, were found within their bounds."""
        started = time.perf_counter()
        if resume is not None:
            self._restore(resume)
            return
        self._set_batch(Batch.of(starts, model.device))
        self.v = self.langevin.velocities()
        self.now = self.evaluator(self.batch, self.alive, self._weights(self.step + 1))
        self._book_time(started)
        self._remove(self.now.failures)

    def advance(self) -> None:
        """Advance all that are alive by one step."""
        started = time.perf_counter()
        number = self.step - self._begin
        k = self._weights(self.step + 1)
        self.now = self.evaluator.with_bias(self.batch, self.alive, self.now, k)
        forces = self._forces(self.step + 1)
        self.batch, self.v = self.langevin.first(self.batch, self.v, forces, number)
        self.step += 1
        # a model may not return from a cell whose positions are nan; forces and velocities within
        # their bounds leave none
        if self.now is not self._bounded:
            self._remove(self._lost())
            if not self.alive:
                return
        self.now = self.evaluator(self.batch, self.alive, self._weights(self.step))
        largest, temperatures = self._second(number)
        self._book_time(started)
        hottest = self.params.max_temperature
        reasons = {**exploded(largest, temperatures, hottest), **self.now.failures}
        self._remove(reasons)
        self._bounded = self.now
        if self.step >= 1 and self.alive:
            self._sample([T for index, T in enumerate(temperatures) if index not in reasons])

    def _second(self, number: int) -> list[list[float]]:
        """Do the second half of a step; return largest forces and temperatures of the cells.

        Pairs of the bias that were kept for too long are known of when these are read back. It is
        computed again then.
        """
        half = self.v
        while True:
            forces = self._forces(self.step)
            self.v = self.langevin.second(half, forces, number)
            table = [self.batch.cells.largest(forces), self._heat()]
            displacement = self.now.displacement
            if displacement is None:
                return self._read(table)
            *rows, moved = self._read([*table, displacement.expand(len(self.batch))])
            if moved[0] <= MAX_DISPLACEMENT:
                return rows
            k = self._weights(self.step)
            self.now = self.evaluator.with_bias(self.batch, self.alive, self.now.without_bias(), k)

    def finish(self) -> list[Trajectory]:
        """Return all trajectories as they are now, in the order of the runs."""
        for index in self.alive:
            self._report(index)
        return [record.trajectory() for record in self.records]

    def note(self) -> str:
        """Return what people want to know beside the step: the runs, and where the bias is."""
        note = f"{len(self.alive)} runs"
        on_host = self.evaluator.bias_on == "host"
        return f"{note}, bias on the host" if on_host else note

    def state(self) -> dict[str, Any]:
        """Return all that is needed to go on later, as plain types and numpy arrays."""
        arrays = {"positions": self.batch.positions, "velocities": self.v, **self.now.arrays()}
        return {
            "step": self.step,
            "alive": list(self.alive),
            "records": [record.state() for record in self.records],
            "arrays": {name: array.cpu().numpy() for name, array in arrays.items()},
        }

    def _restore(self, state: dict[str, Any]) -> None:
        """Take over a state, with the model and the starts that the ensemble was made with."""
        self.step = state["step"]
        self.alive = list(state["alive"])
        for record, saved in zip(self.records, state["records"], strict=True):
            for name, value in saved.items():
                setattr(record, name, value)
        if not self.alive:
            return
        starts = [self.records[index].start for index in self.alive]
        self._set_batch(Batch.of(starts, self.evaluator.model.device))
        device = self.batch.positions.device
        arrays = {
            name: torch.tensor(np.asarray(array), device=device)
            for name, array in state["arrays"].items()
        }
        self.batch = self.batch.at(arrays.pop("positions"))
        self.v = arrays.pop("velocities")
        self.now = Evaluation.of(arrays)

    def _set_batch(self, batch: Batch) -> None:
        """Take a batch, and the integrator that belongs to it."""
        runs = [self.records[index].run for index in self.alive]
        self.batch = batch
        self.langevin = Langevin(
            batch.cells,
            temperatures=[run.condition.temperature for run in runs],
            seeds=[run.seed for run in runs],
            timestep=self.params.timestep,
            friction=self.params.friction,
        )
        self._set_strengths()

    def _set_strengths(self) -> None:
        """Put the k of each atom's cell (n, 1) on the device, where it stays."""
        k = [self.records[index].run.condition.k for index in self.alive]
        of_cells = torch.tensor(k, dtype=torch.float64, device=self._device)
        self._strengths = of_cells[self.batch.cells.owner, None]
        self._summed: tuple[Evaluation, float, Tensor] | None = None

    def _weights(self, step: int) -> list[float]:
        """Return k of each cell in eV during a step."""
        share = ramp(step, self.params.ramp)
        return [share * self.records[index].run.condition.k for index in self.alive]

    @property
    def _device(self) -> torch.device:
        return torch.device(self.evaluator.model.device)

    def _forces(self, step: int) -> Tensor:
        """Return F_base + k ∂B/∂r (n, 3) in eV/Å during a step; equal ones are the same tensor."""
        share = ramp(step, self.params.ramp)
        if self.now.gradient is None:
            return self.now.forces
        if self._summed is not None:
            now, at, forces = self._summed
            if now is self.now and at == share:
                return forces
        k = self._strengths if share == 1.0 else share * self._strengths
        forces = torch.addcmul(self.now.forces, k, self.now.gradient)
        self._summed = (self.now, share, forces)
        return forces

    def _heat(self) -> Tensor:
        """Return the temperature of each cell (B,) in K."""
        return self.langevin.instantaneous(self.v)

    def _read(self, values: Sequence[Tensor]) -> list[list[float]]:
        """Read several values of each cell (B,) back at once: a GPU is waited for once."""
        rows: list[list[float]] = torch.stack(list(values)).tolist()
        return rows

    def _lost(self) -> dict[int, str]:
        """Return the cells whose positions are not finite, by index in the batch."""
        (largest,) = self._read([self.batch.cells.largest(self.batch.positions)])
        return beyond(LOST, largest)

    def _sample(self, temperatures: list[float]) -> None:
        """Book the temperatures of a sampled step, and take snapshots when it is time."""
        for index, temperature in zip(self.alive, temperatures, strict=True):
            self.records[index].temperature_sum += temperature
            self.records[index].sampled += 1
        if self.step % self.params.snapshot_every != 0:
            return
        norms = self.batch.cells.largest(self.now.forces.norm(dim=1, keepdim=True))
        shortest, ratios, energies, forces = self._read(
            [*shortest_distances(self.batch), self.now.energy, norms]
        )
        limit = self.params.min_distance_fraction
        too_close = {index for index, ratio in enumerate(ratios) if not ratio > limit}
        where = f"collapsed at step {self.step}: shortest distance"
        self._remove({index: f"{where} {shortest[index]:.2f} Å" for index in too_close})
        rows = zip(shortest, temperatures, energies, forces, strict=True)
        self._snapshot([row for index, row in enumerate(rows) if index not in too_close])

    def _snapshot(self, rows: Sequence[tuple[float, float, float, float]]) -> None:
        """Take a snapshot of each cell: shortest distance, temperature, energy, largest force."""
        if not self.alive:
            return
        spans = np.split(self.batch.positions.cpu().numpy(), self.batch.cells.first[1:-1])
        for index, positions, row in zip(self.alive, spans, rows, strict=True):
            distance, temperature, energy, force = row
            record = self.records[index]
            record.closest = min(record.closest, distance)
            record.snapshot(
                steps=self.step,
                positions=positions.copy(),
                energies=energy,
                temperatures=temperature,
                max_forces=force,
            )

    def _remove(self, reasons: dict[int, str]) -> None:
        """Take cells out of the batch; `reasons` has them by their index in it."""
        if not reasons:
            return
        for index, reason in reasons.items():
            self.records[self.alive[index]].reason = reason
            self._report(self.alive[index])
        remaining = [index for index in range(len(self.alive)) if index not in reasons]
        self.alive = [self.alive[index] for index in remaining]
        if not remaining:
            return
        atoms = torch.from_numpy(self.batch.cells.atoms(remaining)).to(self._device)
        self.now = self.now.take(remaining, atoms)
        self.v = self.v[atoms]
        self.batch = self.batch.take(remaining)
        self.langevin = self.langevin.take(remaining, self.batch.cells)
        self._set_strengths()

    def _report(self, index: int) -> None:
        """Hand a run that has ended to whoever asked for it."""
        if self.on_done is not None:
            self.on_done(self.records[index].trajectory())

    def _book_time(self, started: float) -> None:
        """Divide the time since the start among those alive."""
        for index in self.alive:
            self.records[index].seconds += (time.perf_counter() - started) / len(self.alive)
