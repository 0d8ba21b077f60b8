"""Whether molecular dynamics at the harshest condition survives.

It is Langevin dynamics at constant volume, by ASE, of the phase's seed cell, relaxed at the
pressure. A run has broken when forces or temperature say that it has exploded, when two atoms have
collapsed, or when the potential refuses the cell.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator
from ase.constraints import FixCom
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution

from entropy_flows.evaluate.physics.params import PhysicsParams
from entropy_flows.evaluate.physics.relax import relaxed
from entropy_flows.faults import error_line, is_machine_fault
from entropy_flows.geometry import shortest_distance

CHECK_INTERVAL = 10
"""Number of steps between two checks of a run."""
MAX_FORCE = 1e3
"""Force (eV/Å) that no sane run reaches."""
MAX_HEATING = 10.0
"""Temperature at which a run has exploded, in units of the thermostat's."""


@dataclass(frozen=True)
class Stability:
    """The end of a run."""

    temperature: float
    """Temperature of the thermostat, K."""
    pressure: float
    """Pressure at which the cell was relaxed before, GPa."""
    steps: int
    """Number of steps that the run was to have."""
    survived: int
    """Number of steps at the end of the run, or at the last check before it broke."""
    shortest: float
    """Shortest distance of all checks, Å."""
    mean_temperature: float | None
    """Mean temperature of the second half, K; None if the run broke before."""
    drift: float | None
    """Slope of the temperature in the second half, K/ps."""
    broke: str | None
    """Why the run ended early."""


def stability(
    atoms: Atoms, calculator: Calculator, params: PhysicsParams, temperature: float, pressure: float
) -> Stability:
    """Run molecular dynamics of a phase, and check it every few steps.

    Parameters
    ----------
    atoms
        The phase's seed cell; not changed.
    calculator
        The potential.
    params
        Steps, time step, friction, limits.
    temperature
        K.
    pressure
        GPa.

    Raises
    ------
    CheckError
        If the cell does not relax at the pressure.
    """
    cell = relaxed(atoms, calculator, params, pressure)
    dynamics = _langevin(cell, params, temperature)
    shortest = shortest_distance(cell)[0]
    temperatures: list[float] = []
    survived = 0
    broke = None
    while survived < params.steps and broke is None:
        steps = min(CHECK_INTERVAL, params.steps - survived)
        broke = _run(dynamics, cell, steps, temperature)
        if broke is None:
            distance, fraction = shortest_distance(cell)
            shortest = min(shortest, distance)
            if fraction < params.min_distance_fraction:
                broke = f"collapsed: shortest distance {distance:.2f} Å"
        if broke is None:
            survived += steps
            temperatures.append(cell.get_temperature())
    late = temperatures[len(temperatures) // 2 :] if broke is None else []
    times = params.timestep * CHECK_INTERVAL * np.arange(len(late)) / 1000
    return Stability(
        temperature=temperature,
        pressure=pressure,
        steps=params.steps,
        survived=survived,
        shortest=float(shortest),
        mean_temperature=float(np.mean(late)) if late else None,
        drift=float(np.polyfit(times, late, 1)[0]) if len(late) > 2 else None,
        broke=broke,
    )


def _langevin(cell: Atoms, params: PhysicsParams, temperature: float) -> Langevin:
    """Draw velocities, and prepare the dynamics."""
    if len(cell) > 1:
        cell.set_constraint(FixCom())
    rng = np.random.default_rng(params.seed)
    MaxwellBoltzmannDistribution(cell, temperature_K=temperature, rng=rng)
    return Langevin(
        cell,
        params.timestep * units.fs,
        temperature_K=temperature,
        friction=params.friction / units.fs,
        fixcm=False,
        rng=rng,
    )


def _run(dynamics: Langevin, cell: Atoms, steps: int, temperature: float) -> str | None:
    """Run some steps; return why the run broke, if it did."""
    try:
        dynamics.run(steps)
        return _explosion(cell, temperature)
    except Exception as err:
        # Potentials refuse in many ways what they cannot take: their libraries raise anything.
        if is_machine_fault(err):
            raise
        return f"calculator: {error_line(err)}"[:300]


def _explosion(atoms: Atoms, thermostat: float) -> str | None:
    """Return how positions, forces or temperature show that a run has exploded."""
    temperature = atoms.get_temperature()
    force = float(np.abs(atoms.get_forces()).max())
    if not np.isfinite(atoms.positions).all():
        return "exploded: positions are not finite"
    # The comparisons are negated, so that nan counts as exploded.
    if not force < MAX_FORCE:
        return f"exploded: force {force:.0f} eV/Å"
    if not temperature < MAX_HEATING * thermostat:
        return f"exploded: temperature {temperature:.0f} K at a thermostat of {thermostat:g} K"
    return None
