"""Relaxation of a phase as the phase it is: its symmetry stays, and if it becomes another one that is told.

    min H(r, ε) = E + P V        at a pressure P, or E at a fixed volume

matcalc's relaxation is not taken: it calls a cell relaxed when the forces vanish, which they always
do in diamond.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import spglib
from ase import Atoms, units
from ase.calculators.calculator import Calculator
from ase.constraints import FixSymmetry
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS

from entropy_flows.evaluate.physics.params import PhysicsParams

SYMPREC = 0.01
"""Å within which a seed has its symmetry."""
BECAME = 0.05
"""Å within which a relaxed cell is taken for one of higher symmetry: relaxation ends a little
before it is there.
"""


class CheckError(ValueError):
    """A check has no result, for a reason of the potential's own."""


def standard_cell(atoms: Atoms) -> Atoms:
    """The primitive cell of a crystal, turned so that its conventional cell has the usual axes along x, y and z.

    Elastic constants of any seed supercell are then the ones in the books.
    """
    found = spglib.standardize_cell(_of(atoms), to_primitive=True, symprec=SYMPREC)
    if found is None:
        return atoms.copy()
    cell, places, numbers = found
    return Atoms(numbers, scaled_positions=places, cell=cell, pbc=True)


def space_group(atoms: Atoms, symprec: float = SYMPREC) -> str:
    """International symbol and number, as "Fd-3m (227)"."""
    return spglib.get_spacegroup(_of(atoms), symprec=symprec) or "P1 (1)"


def relaxed(
    atoms: Atoms,
    calculator: Calculator,
    params: PhysicsParams,
    pressure: float = 0.0,
    fixed_volume: bool = False,
) -> Atoms:
    """Relax atoms and cell.

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
        Only atoms and the cell's shape, at the volume it has; P then does not matter.

    Returns
    -------
    Atoms
        With the calculator, whose results are those of this cell.

    Raises
    ------
    CheckError
        If it does not converge, or becomes a phase of another symmetry.
    """
    moved = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True, calculator=calculator)
    moved.set_constraint(FixSymmetry(moved, symprec=SYMPREC))
    target: Any = FrechetCellFilter(
        moved, scalar_pressure=pressure * units.GPa, constant_volume=fixed_volume
    )
    place = "at fixed volume" if fixed_volume else f"at {pressure:g} GPa"
    with warnings.catch_warnings(), BFGS(target, logfile=None) as optimizer:
        warnings.simplefilter("ignore")  # of FixSymmetry, for a step that was long
        done = optimizer.run(fmax=params.fmax, steps=params.max_steps)
    if not done:
        left = np.linalg.norm(target.get_forces(), axis=1).max()
        raise CheckError(
            f"not relaxed {place} after {params.max_steps} steps: {left:.3g} eV/Å left, over fmax = {params.fmax:g}"
        )
    if (now := space_group(moved, BECAME)) != (before := space_group(atoms, BECAME)):
        raise CheckError(f"{before} became {now} {place}")
    moved.set_constraint()
    return moved


def _of(atoms: Atoms) -> Any:
    """What spglib takes for a cell."""
    return np.array(atoms.cell), atoms.get_scaled_positions(), atoms.numbers
