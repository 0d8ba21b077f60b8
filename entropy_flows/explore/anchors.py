"""Anchors: near-equilibrium snapshots of plain dynamics that bypass the filter.

The log-determinant criterion turns down what is common, and near-equilibrium cells are; a fifth of
the budget spent on them restored carbon's forces and stresses in Wang 2026, section 4.4.5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from entropy_flows.explore.conditions import Pressure, Temperature
from entropy_flows.params import Params

if TYPE_CHECKING:
    from entropy_flows.explore.trajectory import Trajectory


class AnchorParams(Params):
    """Set how many anchors there are, and from which dynamics."""

    fraction: float = Field(0.2, ge=0, lt=1)
    """Share of the label budget."""
    max_force: float = Field(2.0, gt=0)
    """Keep snapshots whose largest force (eV/Å) is below this."""
    temperatures: tuple[Temperature, ...] | None = None
    """Temperatures (K); None takes the exploration's."""
    pressures: tuple[Pressure, ...] | None = None
    """Pressures (GPa); None takes the exploration's."""


def keep_near_equilibrium(trajectory: Trajectory, max_force: float) -> Trajectory:
    """Return the snapshots with max|F_i| < `max_force` (eV/Å)."""
    return trajectory.at(np.flatnonzero(trajectory.max_forces < max_force))
