"""Which phase is stable at which pressure.

    H(P) = min (E + P V),   dH/dP = V          the stable phase has the lowest H; where two are equal lies a transition

This is the common tangent of the two curves E(V): its slope is −P, its intercept H. Between the
pressures of the grid H is the cubic through both enthalpies with the slopes V, so that a few
pressures are enough.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator
from scipy.interpolate import CubicHermiteSpline
from scipy.optimize import brentq

from entropy_flows.evaluate.physics.params import PhysicsParams
from entropy_flows.evaluate.physics.relax import CheckError, relaxed, standard_cell

FINE = 400
"""Parts of the pressure range in which the stable phase is looked for."""


@dataclass(frozen=True)
class Enthalpy:
    """Enthalpies of one phase at the pressures where it relaxes."""

    pressures: list[float]
    """GPa, rising."""
    enthalpies: list[float]
    """eV/atom."""
    volumes: list[float]
    """Å³/atom."""
    reasons: dict[str, str]
    """Other pressures (GPa, as text) → why there is none."""

    def curve(self) -> CubicHermiteSpline:
        """H (eV/atom) of P (GPa)."""
        return CubicHermiteSpline(
            self.pressures, self.enthalpies, np.asarray(self.volumes) * units.GPa
        )


@dataclass(frozen=True)
class Transition:
    """The lowest phase changes."""

    pressure: float
    """GPa."""
    below: str
    """Stable phase at lower pressures."""
    above: str
    """Stable phase at higher ones."""


def enthalpy(
    atoms: Atoms, calculator: Calculator, params: PhysicsParams, pressures: Sequence[float]
) -> Enthalpy:
    """Relax at each pressure, starting from the cell of the one before.

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
        If it relaxes at no two pressures; the first reason is told.
    """
    start = standard_cell(atoms)
    found: list[tuple[float, float, float]] = []
    reasons: dict[str, str] = {}
    for pressure in pressures:
        try:
            start = relaxed(start, calculator, params, pressure)
        except CheckError as err:
            reasons[f"{pressure:g}"] = str(err)
            continue
        volume = start.get_volume() / len(start)
        energy = start.get_potential_energy() / len(start)
        found.append(
            (float(pressure), float(energy + pressure * units.GPa * volume), float(volume))
        )
    if len(found) < 2:
        raise CheckError(
            f"relaxed at {len(found)} of {len(pressures)} pressures: {next(iter(reasons.values()), '')}"
        )
    P, H, V = (list(column) for column in zip(*found, strict=True))
    return Enthalpy(P, H, V, reasons)


def order_at(phases: Mapping[str, Enthalpy], pressure: float = 0.0) -> list[tuple[str, float]]:
    """Phases from the stable one up, with their enthalpies above it (eV/atom), of those that are known there."""
    known = {
        name: float(phase.curve()(pressure))
        for name, phase in phases.items()
        if phase.pressures[0] <= pressure <= phase.pressures[-1]
    }
    lowest = min(known.values(), default=0.0)
    return sorted(
        ((name, value - lowest) for name, value in known.items()), key=lambda pair: pair[1]
    )


def transitions(phases: Mapping[str, Enthalpy]) -> list[Transition]:
    """Where the phase of lowest enthalpy changes, in order of pressure.

    A phase counts only between the first and the last pressure at which it relaxed; where one ends
    as the lowest of all there is no transition to tell.
    """
    names = list(phases)
    if len(names) < 2:
        return []
    curves = [phases[name].curve() for name in names]
    ends = [(phase.pressures[0], phase.pressures[-1]) for phase in phases.values()]
    grid = np.linspace(min(low for low, _ in ends), max(high for _, high in ends), FINE + 1)
    table = np.array(
        [
            np.where((grid >= low) & (grid <= high), curve(grid), np.inf)
            for curve, (low, high) in zip(curves, ends, strict=True)
        ]
    )
    lowest, found = table.argmin(axis=0), []
    for place in np.flatnonzero(np.diff(lowest)):
        one, two = lowest[place], lowest[place + 1]
        if not np.isfinite(table[[one, one, two, two], [place, place + 1, place, place + 1]]).all():
            continue
        here = brentq(
            lambda P, i=one, j=two: float(curves[i](P) - curves[j](P)), grid[place], grid[place + 1]
        )
        found.append(Transition(float(here), names[one], names[two]))
    return found
