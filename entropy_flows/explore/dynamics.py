"""Langevin dynamics on the entropy-biased surface, one run at a time through ASE.

    m dv = -∂E_explore/∂r dt - m γ v dt + sqrt(2 m γ k_B T) dW,   E_explore = E_base - k(t) S        (paper A, Eq. 6)

γ     friction (1/fs)
k(t)  0 during the warm-up, then rising linearly over the ramp, then the condition's k (eV)
S     the local entropy of the cell (surface "local") or log det Σ(D ∪ {cell}) (surface "global")

Integrator: ase.md.langevin (Vanden-Eijnden and Ciccotti, Chem. Phys. Lett. 429, 310 (2006)), constant volume.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from ase import Atoms, units
from ase.constraints import FixCom
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution, Stationary

from entropy_flows.entropy import BiasedSurface
from entropy_flows.explore.conditions import ExploreParams, Run
from entropy_flows.geometry import shortest_distance

EXPLODED_FORCE = 1e3
"""Force (eV/Å) no snapshot of a sane run reaches; beyond it the step is noise."""


@dataclass(frozen=True)
class Trajectory:
    """Snapshots of one run and what the run was like.

    Attributes
    ----------
    run
        What was asked for.
    numbers, cell
        Atomic numbers (n_atoms,) and the fixed cell (3, 3) in Å.
    steps, positions, energies, temperatures, max_forces
        Per snapshot: sampled step, positions (n_snapshots, n_atoms, 3) in Å, the model's energy (eV) without bias,
        instantaneous temperature (K), largest force (eV/Å) of the model without bias.
    mean_temperature
        Over the sampled steps (K); its excess over the target shows a k that overheats.
    min_distance
        Shortest distance between atoms in any snapshot (Å).
    reason
        None for a run that went to its end, otherwise why it stopped.
    wall_seconds
        Time the run took.
    """

    run: Run
    numbers: np.ndarray
    cell: np.ndarray
    steps: np.ndarray
    positions: np.ndarray
    energies: np.ndarray
    temperatures: np.ndarray
    max_forces: np.ndarray
    mean_temperature: float
    min_distance: float
    reason: str | None
    wall_seconds: float

    PER_SNAPSHOT: ClassVar = ("steps", "positions", "energies", "temperatures", "max_forces")

    def __len__(self) -> int:
        return len(self.steps)

    def snapshots(self) -> Iterable[tuple[int, Atoms]]:
        """(sampled step, cell) of each snapshot."""
        for step, positions in zip(self.steps, self.positions, strict=True):
            yield int(step), Atoms(numbers=self.numbers, positions=positions, cell=self.cell, pbc=True)


def explore(
    runs: Iterable[Run],
    seeds: Callable[[Run], Atoms],
    surface: Callable[[Run], BiasedSurface],
    params: ExploreParams,
    on_done: Callable[[Trajectory], None] | None = None,
) -> list[Trajectory]:
    """Run each trajectory in turn.

    Parameters
    ----------
    runs
        What to run.
    seeds
        Starting cell of a run, already at its volume.
    surface
        Calculator of a run: has an attribute `k` (eV) and reports `base_energy` and `base_forces`.
    params
        Lengths, friction, limits.
    on_done
        Called with each finished trajectory.
    """
    trajectories = []
    for run in runs:
        trajectory = _run_one(run, seeds(run), surface(run), params)
        if on_done is not None:
            on_done(trajectory)
        trajectories.append(trajectory)
    return trajectories


def _run_one(run: Run, atoms: Atoms, surface: BiasedSurface, params: ExploreParams) -> Trajectory:
    started, rng = time.perf_counter(), np.random.RandomState(run.seed)
    atoms.calc, condition = surface, run.condition
    MaxwellBoltzmannDistribution(atoms, temperature_K=condition.temperature, rng=rng)
    if len(atoms) > 1:  # the centre of mass stays put; a lone atom has nothing else to move
        Stationary(atoms)
        atoms.set_constraint(FixCom())
    dynamics = Langevin(
        atoms,
        params.timestep * units.fs,
        temperature_K=condition.temperature,
        friction=params.friction / units.fs,
        fixcm=False,
        rng=rng,
    )
    kept: dict[str, list] = {name: [] for name in Trajectory.PER_SNAPSHOT}
    temperatures, distances, reason = [], [], None
    for step in range(1 - params.warm_up - params.ramp, params.steps + 1):
        k = condition.k * _ramp(step, params.ramp)
        if surface.k != k:  # setting it forgets the results of the last step, which the next one starts from
            surface.k = k
        try:
            dynamics.step()
        except Exception as err:  # a model may refuse a cell in many ways; the run ends, its good part stays
            reason = f"calculator: {type(err).__name__}: {' '.join(str(err).split())}"[:300]
            break
        if reason := _exploded(atoms, params):
            break
        if step < 1:
            continue
        temperatures.append(atoms.get_temperature())
        if step % params.snapshot_every == 0:
            distance, ratio = shortest_distance(atoms)
            if ratio < params.min_distance:
                reason = f"collapsed at step {step}: shortest distance {distance:.2f} Å"
                break
            forces = surface.results["base_forces"]
            distances.append(distance)
            kept["steps"].append(step)
            kept["positions"].append(atoms.get_positions())
            kept["energies"].append(float(surface.results["base_energy"]))
            kept["temperatures"].append(temperatures[-1])
            kept["max_forces"].append(float(np.sqrt((forces**2).sum(axis=1).max())))
    arrays = {name: np.array(values) for name, values in kept.items()}
    arrays["positions"] = arrays["positions"].reshape(-1, len(atoms), 3)
    return Trajectory(
        run=run,
        numbers=atoms.numbers.copy(),
        cell=np.array(atoms.cell),
        **arrays,
        mean_temperature=float(np.mean(temperatures)) if temperatures else float("nan"),
        min_distance=min(distances, default=float("nan")),
        reason=reason,
        wall_seconds=time.perf_counter() - started,
    )


def _ramp(step: int, length: int) -> float:
    """Share of k at a step: 0 in the warm-up, rising over the `length` steps before step 1, the first sampled one."""
    if step >= 1:
        return 1.0
    return max(0.0, 1.0 + (step - 1) / length) if length else 0.0


def _exploded(atoms: Atoms, params: ExploreParams) -> str | None:
    if not np.isfinite(atoms.positions).all() or not np.isfinite(atoms.get_momenta()).all():
        return "exploded: positions are not finite"
    if (temperature := atoms.get_temperature()) > params.max_temperature:
        return f"exploded: temperature {temperature:.0f} K over the limit of {params.max_temperature:.0f} K"
    if (force := np.abs(atoms.calc.results["forces"]).max()) > EXPLODED_FORCE:
        return f"exploded: force {force:.0f} eV/Å"
    return None
