"""What leaves the crystal's own surroundings: a vacancy, and flat surfaces, by matcalc.

    E_v = E(N − 1 atoms) − (N − 1) ε                                                             (1)
    γ   = [E(slab of n atoms) − n ε] / 2 A                                                       (2)

ε is the energy per atom of the relaxed crystal, A the area of one face of the slab. Atoms relax in
a fixed cell. Of several cuts with the same indices the lowest γ counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ase import Atoms, units
from ase.calculators.calculator import Calculator

from entropy_flows.evaluate.physics.params import PhysicsParams
from entropy_flows.evaluate.physics.relax import CheckError, relaxed, standard_cell
from entropy_flows.geometry import to_structure

JOULE_PER_SQUARE_METRE = units.m**2 / units.J
"""1 eV/Å² in J/m²."""


@dataclass(frozen=True)
class Vacancy:
    """A vacancy of one element's crystal."""

    energies: dict[str, float]
    """Name of the vacancy → E_v, eV; one for each kind of site."""
    atoms: int
    """Number of atoms of the supercell without a vacancy."""


@dataclass(frozen=True)
class Surfaces:
    """Flat surfaces of one element's crystal."""

    energies: dict[str, float]
    """Miller indices, such as "111" → γ, J/m²."""


def vacancy(atoms: Atoms, calculator: Calculator, params: PhysicsParams) -> Vacancy:
    """Relax a phase, and a supercell of it without one atom.

    Parameters
    ----------
    atoms
        The phase; not changed.
    calculator
        The potential.
    params
        Relaxation, and the supercell's least length.

    Raises
    ------
    CheckError
        If the phase is a compound, or does not relax.
    """
    from matcalc import DefectCalc

    _need_one_element(atoms)
    start = relaxed(standard_cell(atoms), calculator, params)
    check = DefectCalc(calculator, relax_bulk=False, **_relaxation(params))
    results = check.calc_defects(to_structure(start), min_length=params.supercell_length)
    energies = {row["defect_name"]: float(row["formation_energy"]) for row in _good(results)}
    return Vacancy(energies, len(results[0]["final_defect"]) + 1)


def surfaces(atoms: Atoms, calculator: Calculator, params: PhysicsParams) -> Surfaces:
    """Relax a phase, and slabs of it.

    Parameters
    ----------
    atoms
        The phase; not changed.
    calculator
        The potential.
    params
        Relaxation, Miller indices and thickness.

    Raises
    ------
    CheckError
        If the phase is a compound, or does not relax.
    """
    from matcalc import SurfaceCalc

    _need_one_element(atoms)
    start = relaxed(standard_cell(atoms), calculator, params)
    check = SurfaceCalc(calculator, relax_bulk=False, **_relaxation(params))
    energies = {}
    for indices in params.surfaces:
        slabs = check.calc_slabs(
            to_structure(start),
            miller_index=indices,
            min_slab_size=params.slab_thickness,
            min_vacuum_size=params.slab_thickness,
        )
        lowest = min(float(slab["surface_energy"]) for slab in _good(slabs))
        energies["".join(map(str, indices))] = lowest * JOULE_PER_SQUARE_METRE
    return Surfaces(energies)


def _need_one_element(atoms: Atoms) -> None:
    """Refuse a compound: its energies depend on where the atoms go."""
    if len(set(atoms.numbers)) > 1:
        raise CheckError(
            "the phase is a compound, whose vacancies and surfaces have energies for given "
            "chemical potentials alone"
        )


def _relaxation(params: PhysicsParams) -> dict[str, Any]:
    return {"fmax": params.defect_fmax, "max_steps": params.max_steps, "optimizer": "FIRE"}


def _good(results: Sequence[Mapping[str, Any] | None]) -> list[Mapping[str, Any]]:
    """Return the results that there are; raise a CheckError if there is none."""
    good = [result for result in results if result is not None]
    if not good:
        raise CheckError("matcalc has built no cell of this kind")
    return good
