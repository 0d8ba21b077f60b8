"""Cells at equilibrium: relaxation under a pressure, and the equation of state.

    min H(r, ε) = E + P V        at a pressure P, or E at a fixed volume

    E(V) = E₀ + (9 V₀ B₀/16) {(x − 1)³ B′ + (x − 1)² (6 − 4 x)},   x = (V₀/V)^{2/3}

V₀, E₀   volume and energy of the minimum
B₀, B′   V ∂²E/∂V² there, and ∂B/∂P
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from ase import Atoms, units
from ase.eos import EquationOfState, birchmurnaghan
from ase.filters import FrechetCellFilter
from ase.optimize.optimize import Optimizer

from entropy_flows.conventions import Array


@dataclass(frozen=True)
class BirchMurnaghan:
    """Birch and Murnaghan's curve through energies at several volumes."""

    volume: float
    """V₀, in the unit of the volumes."""
    energy: float
    """E₀, in the unit of the energies."""
    bulk_modulus: float
    """B₀ in GPa, if volumes are in Å³ and energies in eV."""
    derivative: float
    """B′, dimensionless."""
    rms: float
    """Root mean square of the fit's residuals."""

    @classmethod
    def fit(cls, volumes: Sequence[float] | Array, energies: Sequence[float] | Array) -> Self:
        """Fit the curve by least squares; the minimum may lie outside the volumes."""
        # ASE prints a report if the fit is poor.
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            curve = EquationOfState(volumes, energies, eos="birchmurnaghan")
            volume, energy, bulk_modulus = curve.fit(warn=False)
        parameters = curve.eos_parameters
        residuals = np.asarray(energies) - birchmurnaghan(np.asarray(volumes), *parameters)
        return cls(
            volume=float(volume),
            energy=float(energy),
            bulk_modulus=float(bulk_modulus / units.GPa),
            derivative=float(parameters[2]),
            rms=float(np.sqrt(np.mean(residuals**2))),
        )


@dataclass(frozen=True)
class Relaxation:
    """The end of a relaxation."""

    converged: bool
    """Whether all forces are below the limit."""
    residual: float
    """Largest force (eV/Å), or virial per degree of freedom (eV), that is left."""


def relax_cell(
    atoms: Atoms,
    optimizer: type[Optimizer],
    fmax: float,
    steps: int,
    pressure: float = 0.0,
    fixed_volume: bool = False,
) -> Relaxation:
    """Relax positions and cell in place.

    Parameters
    ----------
    atoms
        With a calculator that has a stress, and with constraints if there are any.
    optimizer
        ASE's optimizer.
    fmax
        Largest force (eV/Å), and virial per degree of freedom (eV), at the end.
    steps
        Number of steps at most.
    pressure
        P in GPa.
    fixed_volume
        Whether only positions and the cell's shape are relaxed; P then does not matter.
    """
    enthalpy: Any = FrechetCellFilter(
        atoms, scalar_pressure=pressure * units.GPa, constant_volume=fixed_volume
    )
    with optimizer(enthalpy, logfile=None) as search:
        converged = search.run(fmax=fmax, steps=steps)
    residual = np.linalg.norm(enthalpy.get_forces(), axis=1).max()
    return Relaxation(bool(converged), float(residual))
