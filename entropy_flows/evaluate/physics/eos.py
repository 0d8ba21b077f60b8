"""Equation of state: energies of a phase at fixed volumes, and Birch and Murnaghan's curve through them.

    E(V) = E₀ + (9 V₀ B₀/16) {(x − 1)³ B′ + (x − 1)² (6 − 4 x)},   x = (V₀/V)^{2/3}

V₀, E₀   volume and energy of the minimum;   B₀ = V ∂²E/∂V² there;   B′ = ∂B/∂P
Atoms and the cell's shape are relaxed at each volume; the fit is pymatgen's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator

from entropy_flows.evaluate.physics.params import PhysicsParams
from entropy_flows.evaluate.physics.relax import CheckError, relaxed, standard_cell


@dataclass(frozen=True)
class Eos:
    """Equation of state of one phase."""

    volume: float
    """V₀, Å³/atom."""
    energy: float
    """E₀, eV/atom."""
    bulk_modulus: float
    """B₀, GPa."""
    derivative: float
    """B′, dimensionless."""
    volumes: list[float]
    """Of the fitted points, Å³/atom, rising."""
    energies: list[float]
    """Of the fitted points, eV/atom."""
    rms: float
    """Of the fit, eV/atom."""


def eos(atoms: Atoms, calculator: Calculator, params: PhysicsParams) -> Eos:
    """Relax, scale, relax at each volume, fit.

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
    from pymatgen.analysis.eos import BirchMurnaghan

    start = relaxed(standard_cell(atoms), calculator, params)
    volumes, energies, n = [], [], len(start)
    for fraction in np.linspace(1 - params.volume_strain, 1 + params.volume_strain, params.volumes):
        scaled = start.copy()
        scaled.set_cell(start.cell * fraction ** (1 / 3), scale_atoms=True)
        found = relaxed(scaled, calculator, params, fixed_volume=True)
        volumes.append(found.get_volume() / n)
        energies.append(found.get_potential_energy() / n)
    fit = BirchMurnaghan(volumes, energies)
    fit.fit()
    if not volumes[0] <= fit.v0 <= volumes[-1] or not fit.b0 > 0:
        raise CheckError(
            f"energies between {volumes[0]:.2f} and {volumes[-1]:.2f} Å³/atom have no minimum: "
            f"fitted V0 = {fit.v0:.2f} Å³/atom, B0 = {fit.b0_GPa:.0f} GPa"
        )
    residuals = np.asarray(energies) - fit.func(np.asarray(volumes))
    return Eos(
        volume=float(fit.v0),
        energy=float(fit.e0),
        bulk_modulus=float(fit.b0_GPa),
        derivative=float(fit.b1),
        volumes=[float(v) for v in volumes],
        energies=[float(e) for e in energies],
        rms=float(np.sqrt(np.mean(residuals**2))),
    )
