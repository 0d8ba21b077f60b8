"""Whether dynamics at the hardest condition survives: Langevin dynamics at constant volume, by ASE.

The cell is the phase's seed cell, relaxed at the pressure; the run has broken when forces or
temperature say that it has exploded, when two atoms have collapsed, or when the potential refuses
the cell.
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
from entropy_flows.faults import is_machine_fault
from entropy_flows.geometry import shortest_distance

EVERY = 10
"""Steps between two looks."""
EXPLODED_FORCE = 1e3
"""Force (eV/Å) that no sane run reaches."""
EXPLODED_HEAT = 10.0
"""Times the thermostat's temperature at which a run has exploded."""


@dataclass(frozen=True)
class Stability:
    """What became of a run."""

    temperature: float
    """Of the thermostat, K."""
    pressure: float
    """At which the cell was relaxed before, GPa."""
    steps: int
    """Steps asked for."""
    survived: int
    """Steps done when the run ended, or was last seen sane."""
    shortest: float
    """Shortest distance seen, Å."""
    mean_temperature: float | None
    """Of the second half, K; None if the run broke before."""
    drift: float | None
    """Slope of the temperature in the second half, K/ps."""
    broke: str | None
    """Why it ended early."""


def stability(
    atoms: Atoms, calculator: Calculator, params: PhysicsParams, temperature: float, pressure: float
) -> Stability:
    """Run the dynamics.

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
    start = relaxed(atoms, calculator, params, pressure)
    if len(start) > 1:
        start.set_constraint(FixCom())
    rng = np.random.default_rng(params.seed)
    MaxwellBoltzmannDistribution(start, temperature_K=temperature, rng=rng)
    friction = params.friction / units.fs
    dynamics = Langevin(
        start,
        params.timestep * units.fs,
        temperature_K=temperature,
        friction=friction,
        fixcm=False,
        rng=rng,
    )
    shortest, broke, survived = shortest_distance(start)[0], None, 0
    heat: list[float] = []
    while survived < params.steps and broke is None:
        count = min(EVERY, params.steps - survived)
        try:
            dynamics.run(count)
            broke = _explosion(start, temperature)
        except Exception as err:  # a potential refuses in many ways what it cannot take
            if is_machine_fault(err):
                raise
            broke = f"calculator: {type(err).__name__}: {' '.join(str(err).split())}"[:300]
        if broke is None:
            distance, ratio = shortest_distance(start)
            shortest = min(shortest, distance)
            if ratio < params.min_distance_fraction:
                broke = f"collapsed: shortest distance {distance:.2f} Å"
        if broke is None:
            survived += count
            heat.append(start.get_temperature())
    late = heat[len(heat) // 2 :] if broke is None else []
    times = params.timestep * EVERY * np.arange(len(late)) / 1000
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


def _explosion(atoms: Atoms, temperature: float) -> str | None:
    now, force = atoms.get_temperature(), float(np.abs(atoms.get_forces()).max())
    if not np.isfinite(atoms.positions).all():
        return "exploded: positions are not finite"
    if not force < EXPLODED_FORCE:
        return f"exploded: force {force:.0f} eV/Å"
    if not now < EXPLODED_HEAT * temperature:
        return f"exploded: temperature {now:.0f} K at a thermostat of {temperature:g} K"
    return None
