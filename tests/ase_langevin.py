"""The engine's reference: one run at a time by ASE's Langevin, with the engine's random numbers."""

from __future__ import annotations

import numpy as np
from ase import Atoms, units
from ase.constraints import FixCom
from ase.md.langevin import Langevin as ASELangevin

from entropy_flows.entropy import BiasedSurface
from entropy_flows.explore import ExploreParams, Run
from entropy_flows.explore.langevin import BLOCK


class Numbers:
    """The engine's stream of normal numbers, in the order in which ASE asks for them."""

    def __init__(self, seed: int, size: int) -> None:
        self.seed, self.size, self.count = seed, size, 0

    def standard_normal(self, size: tuple[int, int]) -> np.ndarray:
        """ξ and η of each step in turn."""
        step, which = divmod(self.count, 2)
        self.count += 1
        block, place = divmod(step, BLOCK)
        stream = np.random.default_rng([self.seed, block + 1])
        return stream.standard_normal((BLOCK, 2, self.size, 3))[place, which]


def reference(
    run: Run, start: Atoms, surface: BiasedSurface, params: ExploreParams
) -> tuple[np.ndarray, np.ndarray]:
    """Positions and velocities (ASE's units) after each step, warm-up and ramp included."""
    atoms, T = start.copy(), run.condition.temperature
    atoms.calc = surface
    normal = np.random.default_rng([run.seed, 0]).standard_normal((len(atoms), 3))
    velocities = normal * np.sqrt(units.kB * T / atoms.get_masses())[:, None]
    if len(atoms) > 1:
        velocities -= atoms.get_masses() @ velocities / atoms.get_masses().sum()
        atoms.set_constraint(FixCom())
    atoms.set_velocities(velocities)
    dynamics = ASELangevin(
        atoms,
        params.timestep * units.fs,
        temperature_K=T,
        friction=params.friction / units.fs,
        fixcm=False,
        rng=Numbers(run.seed, len(atoms)),
    )
    positions, speeds = [], []
    for step in range(1 - params.warm_up - params.ramp, params.steps + 1):
        share = 1.0 if step >= 1 else max(0.0, 1 + (step - 1) / params.ramp) if params.ramp else 0.0
        if surface.k != run.condition.k * share:
            surface.k = run.condition.k * share
        dynamics.step()
        positions.append(atoms.get_positions())
        speeds.append(atoms.get_velocities())
    return np.array(positions), np.array(speeds)
