"""Which phase is stable at which pressure.

    H(P) = min (E + P V),   dH/dP = V

The stable phase has the lowest H; where two are equal lies a transition. This is the common tangent
of the two curves E(V): its slope is −P, its intercept H. Between the pressures of the grid, H is
the cubic through both enthalpies with the slopes V, so that a few pressures are enough.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator
from scipy.interpolate import CubicHermiteSpline
from scipy.optimize import brentq

from entropy_flows.evaluate.physics.params import PhysicsParams
from entropy_flows.evaluate.physics.relax import CheckError, relaxed, standard_cell

SEARCH_INTERVALS = 400
"""Intervals of the pressure range in which transitions are searched."""


@dataclass(frozen=True)
class Enthalpy:
    """Enthalpies of one phase at the pressures where it relaxes."""

    pressures: list[float]
    """Pressures, GPa, rising."""
    enthalpies: list[float]
    """Enthalpies, eV/atom."""
    volumes: list[float]
    """Volumes, Å³/atom."""
    reasons: dict[str, str]
    """Other pressures (GPa, as text) → why there is none."""

    def curve(self) -> CubicHermiteSpline:
        """Return H (eV/atom) as a function of P (GPa)."""
        slopes = np.asarray(self.volumes) * units.GPa
        return CubicHermiteSpline(self.pressures, self.enthalpies, slopes)


@dataclass(frozen=True)
class Transition:
    """A change of the phase with the lowest enthalpy."""

    pressure: float
    """Pressure of the transition, GPa."""
    below: str
    """Stable phase at lower pressures."""
    above: str
    """Stable phase at higher ones."""


def enthalpy(
    atoms: Atoms, calculator: Calculator, params: PhysicsParams, pressures: Sequence[float]
) -> Enthalpy:
    """Relax a phase at each pressure, starting from the cell of the one before.

    Parameters
    ----------
    atoms
        The phase; not changed.
    calculator
        The potential.
    params
        Relaxation.
    pressures
        GPa, rising.

    Raises
    ------
    CheckError
        If it relaxes at fewer than two pressures; the message has the first reason.
    """
    cell = standard_cell(atoms)
    result = Enthalpy([], [], [], {})
    for pressure in pressures:
        try:
            cell = relaxed(cell, calculator, params, pressure)
        except CheckError as err:
            result.reasons[f"{pressure:g}"] = str(err)
            continue
        volume = cell.get_volume() / len(cell)
        energy = cell.get_potential_energy() / len(cell)
        result.pressures.append(float(pressure))
        result.volumes.append(float(volume))
        result.enthalpies.append(float(energy + pressure * units.GPa * volume))
    relaxed_at = len(result.pressures)
    if relaxed_at < 2:
        reason = next(iter(result.reasons.values()), "")
        raise CheckError(f"relaxed at {relaxed_at} of {len(pressures)} pressures: {reason}")
    return result


def order_at(phases: Mapping[str, Enthalpy], pressure: float = 0.0) -> list[tuple[str, float]]:
    """Order the phases by enthalpy at a pressure (GPa), of those that relaxed around it.

    Returns
    -------
    list
        Name and enthalpy above the stable phase (eV/atom), the stable one first.
    """
    enthalpies = {
        name: float(phase.curve()(pressure))
        for name, phase in phases.items()
        if phase.pressures[0] <= pressure <= phase.pressures[-1]
    }
    lowest = min(enthalpies.values(), default=0.0)
    above = [(name, value - lowest) for name, value in enthalpies.items()]
    return sorted(above, key=lambda pair: pair[1])


def transitions(phases: Mapping[str, Enthalpy]) -> list[Transition]:
    """Find where the phase of lowest enthalpy changes, in order of pressure.

    A phase counts only between the first and the last pressure at which it relaxed. Where one ends
    as the lowest of all, there is no transition.
    """
    names = list(phases)
    if len(names) < 2:
        return []
    curves = [phase.curve() for phase in phases.values()]
    low = min(phase.pressures[0] for phase in phases.values())
    high = max(phase.pressures[-1] for phase in phases.values())
    grid = np.linspace(low, high, SEARCH_INTERVALS + 1)
    table = np.array([_on_grid(phase, grid) for phase in phases.values()])
    lowest = table.argmin(axis=0)
    changes = []
    for start in np.flatnonzero(np.diff(lowest)):
        end = start + 1
        first = lowest[start]
        second = lowest[end]
        # Where a phase ends as the lowest of all, H jumps: that is no transition.
        if not np.isfinite(table[np.ix_([first, second], [start, end])]).all():
            continue
        pressure = brentq(_difference(curves[first], curves[second]), grid[start], grid[end])
        changes.append(Transition(float(pressure), names[first], names[second]))
    return changes


def _on_grid(phase: Enthalpy, grid: np.ndarray) -> np.ndarray:
    """Evaluate H of a phase; infinity outside the pressures at which it relaxed."""
    is_inside = (grid >= phase.pressures[0]) & (grid <= phase.pressures[-1])
    return np.where(is_inside, phase.curve()(grid), np.inf)


def _difference(one: CubicHermiteSpline, other: CubicHermiteSpline) -> Callable[[float], float]:
    """Return the difference of two enthalpies as a function of P."""
    return lambda P: float(one(P) - other(P))
