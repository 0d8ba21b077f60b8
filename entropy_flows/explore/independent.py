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
from pydantic import Field

from entropy_flows.equilibrium import relax_cell
from entropy_flows.explore.conditions import Condition, ExploreParams, Pressure, Run, Temperature
from entropy_flows.explore.trajectory import Record, Trajectory
from entropy_flows.geometry import shortest_distance
from entropy_flows.params import Params

EQUILIBRIUM = 0.0
"""Temperature (K) that the relaxed cells are listed under."""
RELAXED_VOLUME = (0.2, 3.0)
"""Volume after a relaxation, in that of the seed, beyond which it has run away."""


class IndependentParams(Params):
    """Set what the independent test is made of; the defaults are those of Wang 2026."""

    phases: tuple[str, ...] | None = None
    """Names of the phases; None takes all of the campaign's."""
    pressures: tuple[Pressure, ...] | None = None
    """Pressures (GPa) imposed in the relaxation; None takes the exploration's."""
    temperatures: tuple[Temperature, ...] = Field((1000.0, 3000.0), min_length=1)
    """Temperatures (K) of the dynamics."""
    fmax: float = Field(0.02, gt=0)
    """Largest force (eV/Å) and stress times volume (eV) of a relaxed cell."""
    relax_steps: int = Field(500, ge=1)
    """Steps after which a relaxation is given up, and its cell left out."""
    steps: int = Field(2000, ge=1)
    """Steps of a run."""
    late: int = Field(400, ge=1)
    """Last steps, from which the snapshots are taken."""
    snapshots: int = Field(5, ge=1)
    """Snapshots of a run."""
    timestep: float = Field(1.0, gt=0, le=10)
    """Time step (fs)."""
    friction: float = Field(0.01, gt=0)
    """Langevin friction (1/fs)."""
    batch_size: int = Field(8, ge=1)
    """Runs per job."""

    def explore_params(self, explore: ExploreParams) -> ExploreParams:
        """Return the dynamics as exploration takes them.

        Limits and phases are the campaign's where there are none here.
        """
        return explore.model_copy(
            update={
                "phases": self.phases or explore.phases,
                "temperatures": self.temperatures,
                "pressures": self.pressures or explore.pressures,
                "entropy_weights": (0.0,),
                "warm_up": 0,
                "ramp": 0,
                "steps": self.steps,
                "snapshot_every": max(1, self.late // self.snapshots),
                "timestep": self.timestep,
                "friction": self.friction,
                "batch_size": self.batch_size,
                "walltime": None,
            }
        )

    def late_snapshots(self, trajectory: Trajectory) -> Trajectory:
        """Return the last `snapshots` of a run; none of one that did not reach its end."""
        ended = trajectory.reason is None
        return trajectory.at(slice(-self.snapshots, None) if ended else slice(0, 0))


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
