"""Elastic constants of a relaxed phase, by matcalc.

They follow from the stresses of strained cells whose atoms are relaxed:

    σ_i = Σ_j C_ij ε_j          i, j = 1 … 6: xx yy zz yz xz xy, ε of shear counted twice

Voigt, Reuss and Hill's averages are pymatgen's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.optimize import FIRE

from entropy_flows.evaluate.physics.params import PhysicsParams
from entropy_flows.evaluate.physics.relax import CheckError, relaxed, standard_cell
from entropy_flows.geometry import to_structure

STRAIN_FRACTIONS = (-1.0, -0.5, 0.5, 1.0)
"""Strains, in units of the largest."""


@dataclass(frozen=True)
class Elastic:
    """Elastic constants of one phase, in the axes of its conventional cell."""

    constants: list[list[float]]
    """C_ij, GPa, Voigt order, 6 × 6, as fitted: its asymmetry is the noise of the fit."""
    bulk_modulus: float
    """K, Hill's average of Voigt's and Reuss's, GPa."""
    shear_modulus: float
    """G, the same."""
    lowest: float
    """Lowest eigenvalue of C, GPa: a crystal is mechanically stable if it is positive (Born)."""


class ConvergedFIRE(FIRE):
    """FIRE that raises where it ends before the forces vanish.

    matcalc would take the stress of a cell that is not relaxed.
    """

    def run(self, fmax: float = 0.05, steps: int = 100_000_000) -> bool:  # type: ignore[override]
        """Relax; raise a CheckError if that does not converge."""
        if not super().run(fmax=fmax, steps=steps):
            raise CheckError(f"a strained cell is not relaxed to {fmax:g} eV/Å after {steps} steps")
        return True


def elastic(atoms: Atoms, calculator: Calculator, params: PhysicsParams) -> Elastic:
    """Relax a phase, strain it, relax the atoms of each strained cell, and fit the stresses.

    Parameters
    ----------
    atoms
        The phase; not changed.
    calculator
        The potential.
    params
        Strain and relaxation.

    Raises
    ------
    CheckError
        If the phase or one of the strained cells does not relax.
    """
    from matcalc import ElasticityCalc

    start = relaxed(standard_cell(atoms), calculator, params)
    strains = [fraction * params.strain for fraction in STRAIN_FRACTIONS]
    results = ElasticityCalc(
        calculator,
        norm_strains=strains,
        shear_strains=strains,
        fmax=params.fmax,
        relax_structure=False,
        relax_deformed_structures=True,
        relax_calc_kwargs={
            "relax_cell": False,
            "max_steps": params.max_steps,
            "optimizer": ConvergedFIRE,
        },
        units_GPa=True,
        # R² is a mean over all components. Those that are zero by symmetry are noise, which no
        # line fits: a limit on R² would refuse every crystal.
        r2_min=-1.0,
    ).calc(to_structure(start))
    constants = np.asarray(results["elastic_tensor"].voigt, dtype=float)
    symmetric = (constants + constants.T) / 2
    return Elastic(
        constants=constants.tolist(),
        bulk_modulus=float(results["bulk_modulus_vrh"]),
        shear_modulus=float(results["shear_modulus_vrh"]),
        lowest=float(np.linalg.eigvalsh(symmetric)[0]),
    )
