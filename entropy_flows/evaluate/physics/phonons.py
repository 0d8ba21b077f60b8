"""Phonons of a relaxed phase by finite displacements, with phonopy.

    Φ = −∂F/∂u by differences,   Σ_q ω²(q) e = D(q) e

Frequencies are ω/2π in THz, imaginary ones as negative numbers. The path through the Brillouin zone
is that of ASE for the cell's Bravais lattice. There is no correction for the long range of the
Coulomb force, so the optical modes of ionic crystals do not split at Γ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator

from entropy_flows.evaluate.physics.params import PhysicsParams
from entropy_flows.evaluate.physics.relax import relaxed, standard_cell

if TYPE_CHECKING:
    from phonopy import Phonopy
    from phonopy.structure.atoms import PhonopyAtoms

PATH_POINTS = 150
"""Number of q points of the band structure."""
MESH_LENGTH = 50.0
"""phonopy's length of the mesh (Å)."""


@dataclass(frozen=True)
class Phonons:
    """Phonons of one phase; frequencies in THz, imaginary ones as negative numbers."""

    lowest: float
    """Lowest frequency on path and mesh; a dynamically stable phase has its zero at Γ."""
    highest: float
    """Highest frequency."""
    path: list[float]
    """Positions of the q points along the path, from 0 to 1."""
    bands: list[list[float]]
    """Frequencies, a row for each q point, 3 n_atoms of the primitive cell in each."""
    labels: list[str]
    """Names of the special points."""
    label_positions: list[float]
    """Positions of the special points along the path."""
    dos_frequencies: list[float]
    """Frequencies of the density of states."""
    dos: list[float]
    """Density of states (1/THz) of the primitive cell: its integral is 3 n_atoms."""
    supercell: list[int]
    """Repetitions of the primitive cell."""


def phonons(atoms: Atoms, calculator: Calculator, params: PhysicsParams) -> Phonons:
    """Relax a phase, displace its atoms, and diagonalise.

    Parameters
    ----------
    atoms
        The phase; not changed.
    calculator
        The potential.
    params
        Displacement, supercell and relaxation.

    Raises
    ------
    CheckError
        If the phase does not relax.
    """
    start = relaxed(standard_cell(atoms), calculator, params)
    heights = 1 / np.linalg.norm(start.cell.reciprocal(), axis=1)
    # The small number keeps a cell that is exactly long enough from being doubled.
    repeats = np.ceil(params.supercell_length / heights - 1e-6).astype(int)
    lattice_dynamics = _force_constants(start, repeats, calculator, params.displacement)
    path = start.cell.bandpath(npoints=PATH_POINTS)
    positions, label_positions, labels = path.get_linear_kpoint_axis()
    lattice_dynamics.run_band_structure([path.kpts])
    bands = np.asarray(lattice_dynamics.get_band_structure_dict()["frequencies"])[0]
    mesh = lattice_dynamics.run_mesh(MESH_LENGTH)
    density = lattice_dynamics.run_total_dos()
    return Phonons(
        lowest=float(min(bands.min(), mesh.frequencies.min())),
        highest=float(max(bands.max(), mesh.frequencies.max())),
        path=(positions / positions[-1]).tolist(),
        bands=bands.tolist(),
        labels=list(labels),
        label_positions=(np.asarray(label_positions) / positions[-1]).tolist(),
        dos_frequencies=np.asarray(density.frequency_points).tolist(),
        dos=np.asarray(density.dos).tolist(),
        supercell=repeats.tolist(),
    )


def _force_constants(
    cell: Atoms, repeats: np.ndarray, calculator: Calculator, displacement: float
) -> Phonopy:
    """Compute the force constants from the forces in displaced supercells."""
    from phonopy import Phonopy
    from phonopy.structure.atoms import PhonopyAtoms

    unit_cell = PhonopyAtoms(
        symbols=cell.get_chemical_symbols(),
        cell=np.array(cell.cell),
        scaled_positions=cell.get_scaled_positions(),
    )
    result = Phonopy(
        unit_cell, supercell_matrix=np.diag(repeats), primitive_matrix="P", symprec=1e-4
    )
    result.generate_displacements(distance=displacement)
    supercells = result.supercells_with_displacements or []
    result.forces = np.array([_forces(supercell, calculator) for supercell in supercells])
    result.produce_force_constants(show_drift=False)
    result.symmetrize_force_constants(show_drift=False)
    return result


def _forces(cell: PhonopyAtoms, calculator: Calculator) -> np.ndarray:
    """Compute the forces (n, 3) in eV/Å in one of phonopy's cells."""
    atoms = Atoms(cell.symbols, scaled_positions=cell.scaled_positions, cell=cell.cell, pbc=True)
    atoms.calc = calculator
    return atoms.get_forces()
