"""Parameters of the independent test."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from entropy_flows.explore.conditions import ExploreParams, Pressure, Temperature
from entropy_flows.params import Params

if TYPE_CHECKING:
    from entropy_flows.explore.trajectory import Trajectory


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
