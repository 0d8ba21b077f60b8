"""The independent test: relaxed crystals under pressure, and late snapshots of plain dynamics.

For each phase and pressure (Wang 2026, section 3.5):

    relax cell and atoms on the base model until max|F| < fmax             one cell, "equilibrium"
    Langevin dynamics of it at each temperature, the cell fixed, k = 0     `snapshots` cells, late

No candidate comes from here, so the cells are those of nobody's pool.
"""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.optimize import FIRE

from entropy_flows.equilibrium import relax_cell
from entropy_flows.explore.conditions import Condition, Run
from entropy_flows.explore.independent_params import IndependentParams
from entropy_flows.explore.trajectory import Record, Trajectory
from entropy_flows.geometry import shortest_distance

EQUILIBRIUM = 0.0
"""Temperature (K) that the relaxed cells are listed under."""
RELAXED_VOLUME = (0.2, 3.0)
"""Volume after a relaxation, in that of the seed, beyond which it has run away."""


def relaxed(atoms: Atoms, pressure: float, model: Calculator, params: IndependentParams) -> Atoms:
    """Relax cell and positions under a pressure.

    Parameters
    ----------
    atoms
        The seed, best near its volume under that pressure; not changed.
    pressure
        GPa.
    model
        The base model, with stress.
    params
        fmax and the most steps.

    Returns
    -------
    Atoms
        Relaxed copy with the model's results.

    Raises
    ------
    ValueError
        If it does not converge, or runs away.
    """
    cell = atoms.copy()
    cell.calc = model
    end = relax_cell(cell, FIRE, params.fmax, params.relax_steps, pressure)
    ratio = cell.get_volume() / atoms.get_volume()
    if not RELAXED_VOLUME[0] < ratio < RELAXED_VOLUME[1]:
        raise ValueError(
            f"the relaxation at {pressure:g} GPa ran away: {ratio:.2f} of the seed's volume"
        )
    if not end.converged:
        raise ValueError(
            f"not relaxed at {pressure:g} GPa in {params.relax_steps} steps "
            f"(fmax {params.fmax:g} eV/Å)"
        )
    return cell


def equilibrium(index: int, phase: str, pressure: float, cell: Atoms) -> Trajectory:
    """Return a relaxed cell as a trajectory of one snapshot, stored as the others are."""
    record = Record(Run(index, Condition(phase, EQUILIBRIUM, 0.0, pressure), "atom", 0), cell)
    record.snapshot(
        steps=0,
        positions=cell.positions.copy(),
        energies=float(cell.get_potential_energy()),
        temperatures=0.0,
        max_forces=float(np.linalg.norm(cell.get_forces(), axis=1).max()),
    )
    record.temperature_sum = 0.0
    record.sampled = 1
    record.closest = shortest_distance(cell)[0]
    return record.trajectory()
