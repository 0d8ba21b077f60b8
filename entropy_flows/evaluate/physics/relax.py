"""Relaxation of a phase that keeps its symmetry.

matcalc's relaxation is not used: it calls a cell relaxed when the forces vanish, which they always
do in diamond.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import spglib
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.constraints import FixSymmetry
from ase.optimize import BFGS

from entropy_flows.equilibrium import relax_cell
from entropy_flows.evaluate.physics.params import PhysicsParams

SEED_TOLERANCE = 0.01
"""Distance (Å) within which a seed has its symmetry."""
RELAXED_TOLERANCE = 0.05
"""Distance (Å) within which a relaxed cell has a higher symmetry: a relaxation ends a little before
it is there.
"""


class CheckError(ValueError):
    """A check that has no result, for a reason of the potential itself."""


def standard_cell(atoms: Atoms) -> Atoms:
    """Return the primitive cell of a crystal, with its conventional axes along x, y and z.

    Elastic constants of any seed supercell are then the ones in the books.
    """
    standard = spglib.standardize_cell(
        _spglib_cell(atoms), to_primitive=True, symprec=SEED_TOLERANCE
    )
    # spglib returns None where its search for symmetry fails.
    if standard is None:
        return atoms.copy()
    cell, positions, numbers = standard
    return Atoms(numbers, scaled_positions=positions, cell=cell, pbc=True)


def space_group(atoms: Atoms, symprec: float = SEED_TOLERANCE) -> str:
    """Return the international symbol and the number, such as "Fd-3m (227)"."""
    return spglib.get_spacegroup(_spglib_cell(atoms), symprec=symprec) or "P1 (1)"


def relaxed(
    atoms: Atoms,
    calculator: Calculator,
    params: PhysicsParams,
    pressure: float = 0.0,
    fixed_volume: bool = False,
) -> Atoms:
    """Relax atoms and cell of a phase.

    Parameters
    ----------
    atoms
        Start; not changed.
    calculator
        The potential, which must have a stress.
    params
        `fmax` and `max_steps`.
    pressure
        P in GPa.
    fixed_volume
        Whether only atoms and the cell's shape are relaxed; P then does not matter.

    Returns
    -------
    Atoms
        With the calculator, whose results are those of this cell.

    Raises
    ------
    CheckError
        If it does not converge, or becomes a phase of another symmetry.
    """
    cell = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True, calculator=calculator)
    cell.set_constraint(FixSymmetry(cell, symprec=SEED_TOLERANCE))
    with warnings.catch_warnings():
        # FixSymmetry warns of every long step.
        warnings.simplefilter("ignore")
        end = relax_cell(cell, BFGS, params.fmax, params.max_steps, pressure, fixed_volume)
    condition = "at fixed volume" if fixed_volume else f"at {pressure:g} GPa"
    if not end.converged:
        raise CheckError(
            f"not relaxed {condition} after {params.max_steps} steps: "
            f"{end.residual:.3g} eV/Å left, over fmax = {params.fmax:g}"
        )
    before = space_group(atoms, RELAXED_TOLERANCE)
    after = space_group(cell, RELAXED_TOLERANCE)
    if after != before:
        raise CheckError(f"{before} became {after} {condition}")
    cell.set_constraint()
    return cell


def _spglib_cell(atoms: Atoms) -> Any:
    """Return what spglib takes for a cell: lattice, fractional coordinates and numbers."""
    return np.array(atoms.cell), atoms.get_scaled_positions(), atoms.numbers
