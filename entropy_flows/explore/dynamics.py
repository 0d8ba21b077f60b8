"""Exploration: the trajectories of a batch advance together on the entropy-biased surface.

    E_explore = E_base − k(t) B          (Wang 2026, Eqs. 6 and 7);   F = F_base + k(t) ∂B/∂r

k(t)  0 during the warm-up, then rising linearly over the ramp, then the condition's k (eV)
B     the local entropy of the cell (surface "local") or log det Σ(D ∪ {cell}) (surface "global")

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
from entropy_flows.explore.evaluate import Evaluation, Evaluator
from entropy_flows.explore.langevin import Langevin
from entropy_flows.explore.trajectory import Record, Trajectory
from entropy_flows.geometry import shortest_distances
from entropy_flows.potentials import BatchModel

EXPLODED_FORCE = 1e3
"""Force (eV/Å) no snapshot of a sane run reaches; beyond it the step is noise."""


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

    Returns
    -------
    list of Trajectory
        In the order of `runs`.
    """
    if not runs:
        return []
    ensemble = Ensemble(runs, starts, model, bias, params, on_done, resume)
    while ensemble.step < params.steps and ensemble.alive:
        ensemble.advance()
        if on_step is not None:
            on_step(ensemble)
    return ensemble.finish()


class Ensemble:
    """Trajectories at one step; parameters as of `explore`.

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
    ) -> None:
        if bias is None and any(run.condition.k for run in runs):
            raise ValueError("a run has k > 0, but there is no bias")
        self.params, self.on_done = params, on_done
        self._begin = -params.warm_up - params.ramp
        self.step = self._begin
        self.records = [Record(run, start) for run, start in zip(runs, starts, strict=True)]
        self.evaluator = Evaluator(model, bias, [run.mode for run in runs])
        self.alive = list(range(len(runs)))
        started = time.perf_counter()
        if resume is not None:
            self._restore(resume)
            return
        self._hold(Batch.of(starts, model.device))
        self.v = self.langevin.velocities()
        self.now = self.evaluator(self.batch, self.alive, self._weights(self.step + 1))
        self._share(started)
        self._leave(self.now.failures)

    def advance(self) -> None:
        """One step of all that are alive."""
        started, number = time.perf_counter(), self.step - self._begin
        k = self._weights(self.step + 1)
        self.now = self.evaluator.with_bias(self.batch, self.alive, self.now, k)
        moved, half = self.langevin.first(self.batch, self.v, self._forces(k), number)
        self.step += 1
        self.batch, self.v = moved, half
        if not bool(torch.isfinite(moved.positions).all()):
            self._leave(
                self._judge("exploded: positions are not finite", self._largest(moved.positions))
            )
            if not self.alive:
                return
        k = self._weights(self.step)
        self.now = self.evaluator(self.batch, self.alive, k)
        forces = self._forces(k)
        self.v = self.langevin.second(self.v, forces, number)
        self._share(started)
        self._leave({**self._exploded(forces), **self.now.failures})
        if self.step >= 1 and self.alive:
            self._sample()

    def finish(self) -> list[Trajectory]:
        """All trajectories as they are now, in the order of the runs."""
        for index in self.alive:
            self._tell(index)
        return [record.trajectory() for record in self.records]

    def state(self) -> dict[str, Any]:
        """All that is needed to go on later: plain types and numpy arrays."""
        arrays = {"positions": self.batch.positions, "velocities": self.v, **self.now.arrays()}
        return {
            "step": self.step,
            "alive": list(self.alive),
            "records": [record.state() for record in self.records],
            "arrays": {name: array.cpu().numpy() for name, array in arrays.items()},
        }

    def _restore(self, state: dict[str, Any]) -> None:
        self.step, self.alive = state["step"], list(state["alive"])
        for record, kept in zip(self.records, state["records"], strict=True):
            for name, value in kept.items():
                setattr(record, name, value)
        if not self.alive:
            return
        self._hold(
            Batch.of(
                [self.records[index].start for index in self.alive], self.evaluator.model.device
            )
        )
        device = self.batch.positions.device
        arrays = {
            name: torch.tensor(np.asarray(array), device=device)
            for name, array in state["arrays"].items()
        }
        self.batch, self.v = self.batch.at(arrays.pop("positions")), arrays.pop("velocities")
        self.now = Evaluation.of(arrays)

    def _hold(self, batch: Batch) -> None:
        """Take a batch, and the integrator that belongs to it."""
        runs = [self.records[index].run for index in self.alive]
        temperatures, seeds = (
            [run.condition.temperature for run in runs],
            [run.seed for run in runs],
        )
        self.batch = batch
        self.langevin = Langevin(
            batch.cells, temperatures, seeds, self.params.timestep, self.params.friction
        )

    def _weights(self, step: int) -> Tensor:
        """k of each cell (B,) during a step, eV."""
        runs = [self.records[index].run for index in self.alive]
        share = _ramp(step, self.params.ramp)
        return torch.tensor(
            [share * run.condition.k for run in runs], dtype=torch.float64, device=self._device
        )

    @property
    def _device(self) -> torch.device:
        return torch.device(self.evaluator.model.device)

    def _forces(self, k: Tensor) -> Tensor:
        if self.now.gradient is None:
            return self.now.forces
        return torch.addcmul(self.now.forces, k[self.batch.cells.owner, None], self.now.gradient)

    def _largest(self, values: Tensor) -> Tensor:
        """Largest |value| among the atoms of each cell (B,); nan and inf stay what they are."""
        out = values.new_zeros(len(self.batch))
        return out.scatter_reduce_(0, self.batch.cells.owner, values.abs().amax(1), "amax")

    def _judge(self, reason: str, value: Tensor, limit: float = float("inf")) -> dict[int, str]:
        """Cells whose value is not below the limit."""
        if bool((value < limit).all()):
            return {}
        return {place: reason.format(x) for place, x in enumerate(value.tolist()) if not x < limit}

    def _exploded(self, forces: Tensor) -> dict[int, str]:
        limit = self.params.max_temperature
        temperature, force = self.langevin.instantaneous(self.v), self._largest(forces)
        hot = f"exploded: temperature {{:.0f}} K over the limit of {limit:.0f} K"
        return {
            **self._judge("exploded: force {:.0f} eV/Å", force, EXPLODED_FORCE),
            **self._judge(hot, temperature, limit),
            **self._judge("exploded: positions are not finite", temperature),
        }

    def _sample(self) -> None:
        temperatures = self.langevin.instantaneous(self.v).tolist()
        for index, temperature in zip(self.alive, temperatures, strict=True):
            self.records[index].heat += temperature
            self.records[index].sampled += 1
        if self.step % self.params.snapshot_every == 0:
            distances, ratios = shortest_distances(self.batch)
            shortest = distances.tolist()
            collapsed = self._judge("{}", -ratios, -self.params.min_distance_fraction)
            self._leave(
                {
                    p: f"collapsed at step {self.step}: shortest distance {shortest[p]:.2f} Å"
                    for p in collapsed
                }
            )
            kept = [place for place in range(len(shortest)) if place not in collapsed]
            self._snapshot(
                [shortest[place] for place in kept], [temperatures[place] for place in kept]
            )

    def _snapshot(self, distances: list[float], temperatures: list[float]) -> None:
        if not self.alive:
            return
        spans = np.split(self.batch.positions.cpu().numpy(), self.batch.cells.first[1:-1])
        norms = self._largest(self.now.forces.norm(dim=1, keepdim=True)).tolist()
        values = (self.now.energy.tolist(), temperatures, norms, distances, spans)
        for index, energy, temperature, force, distance, positions in zip(
            self.alive, *values, strict=True
        ):
            record = self.records[index]
            record.closest = min(record.closest, distance)
            record.snapshot(
                steps=self.step,
                positions=positions.copy(),
                energies=energy,
                temperatures=temperature,
                max_forces=force,
            )

    def _leave(self, reasons: dict[int, str]) -> None:
        """Take cells out of the batch, by their place in it."""
        if not reasons:
            return
        for place, reason in reasons.items():
            self.records[self.alive[place]].reason = reason
            self._tell(self.alive[place])
        kept = [place for place in range(len(self.alive)) if place not in reasons]
        self.alive = [self.alive[place] for place in kept]
        if not kept:
            return
        atoms = torch.from_numpy(self.batch.cells.atoms(kept)).to(self._device)
        self.now, self.v, self.batch = (
            self.now.take(kept, atoms),
            self.v[atoms],
            self.batch.take(kept),
        )
        self.langevin = self.langevin.take(kept, self.batch.cells)

    def _tell(self, index: int) -> None:
        if self.on_done is not None:
            self.on_done(self.records[index].trajectory())

    def _share(self, started: float) -> None:
        """Divide the time since then among those alive."""
        for index in self.alive:
            self.records[index].seconds += (time.perf_counter() - started) / len(self.alive)


def _ramp(step: int, length: int) -> float:
    """Share of k at a step: 0 in the warm-up, rising over the `length` steps before step 1, the first sampled one."""
    if step >= 1:
        return 1.0
    return max(0.0, 1.0 + (step - 1) / length) if length else 0.0
