"""The equation of state of a phase: its energies at fixed volumes, and a curve through them.

The curve is Birch and Murnaghan's, as `entropy_flows.equilibrium` writes it. Atoms and the cell's
shape are relaxed at each volume.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator

from entropy_flows.equilibrium import BirchMurnaghan
from entropy_flows.evaluate.physics.params import PhysicsParams
from entropy_flows.evaluate.physics.relax import CheckError, relaxed, standard_cell
from entropy_flows.geometry import scaled_to_volume


@dataclass(frozen=True)
class Eos:
    """The equation of state of one phase."""

    volume: float
    """V₀, Å³/atom."""
    energy: float
    """E₀, eV/atom."""
    bulk_modulus: float
    """B₀, GPa."""
    derivative: float
    """B′, dimensionless."""
    volumes: list[float]
    """Volumes of the fitted points, Å³/atom, rising."""
    energies: list[float]
    """Energies of the fitted points, eV/atom."""
    rms: float
    """Root mean square of the fit's residuals, eV/atom."""


def eos(atoms: Atoms, calculator: Calculator, params: PhysicsParams) -> Eos:
    """Relax a phase at several volumes around its equilibrium, and fit its energies.

    Parameters
    ----------
    atoms
        The phase; not changed.
    calculator
        The potential.
    params
        Window and relaxation.

    Raises
    ------
    CheckError
        If a cell does not relax, or the fit has no minimum in the window.
    """
    start = relaxed(standard_cell(atoms), calculator, params)
    fractions = np.linspace(1 - params.volume_strain, 1 + params.volume_strain, params.volumes)
    volumes = []
    energies = []
    for fraction in fractions:
        scaled = scaled_to_volume(start, fraction * start.get_volume())
        cell = relaxed(scaled, calculator, params, fixed_volume=True)
        volumes.append(float(cell.get_volume() / len(cell)))
        energies.append(float(cell.get_potential_energy() / len(cell)))
    fit = BirchMurnaghan.fit(volumes, energies)
    if not volumes[0] <= fit.volume <= volumes[-1] or not fit.bulk_modulus > 0:
        raise CheckError(
            f"energies between {volumes[0]:.2f} and {volumes[-1]:.2f} Å³/atom have no minimum: "
            f"fitted V0 = {fit.volume:.2f} Å³/atom, B0 = {fit.bulk_modulus:.0f} GPa"
        )
    return Eos(
        volume=fit.volume,
        energy=fit.energy,
        bulk_modulus=fit.bulk_modulus,
        derivative=fit.derivative,
        volumes=volumes,
        energies=energies,
        rms=fit.rms,
    )
