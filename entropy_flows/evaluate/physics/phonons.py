"""Phonons of a relaxed phase by finite displacements, with phonopy.

    Φ = −∂F/∂u by differences,   Σ_q ω²(q) e = D(q) e          frequencies ω/2π in THz, imaginary ones as negative

The path through the Brillouin zone is that of ASE for the cell's Bravais lattice. There is no
correction for the long range of the Coulomb force, so ionic crystals have no splitting of their
optical modes at Γ.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator

from entropy_flows.evaluate.physics.params import PhysicsParams
from entropy_flows.evaluate.physics.relax import relaxed, standard_cell

PATH_POINTS = 150
"""q points of the band structure."""
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
    """Places of the q points along the path, from 0 to 1."""
    bands: list[list[float]]
    """Frequencies, a row a q point, 3 n_atoms of the primitive cell each."""
    labels: list[str]
    """Names of the special points."""
    label_places: list[float]
    """Where they are on the path."""
    dos_frequencies: list[float]
    """Of the density of states."""
    dos: list[float]
    """1/THz, for the primitive cell: its integral is 3 n_atoms."""
    supercell: list[int]
    """Repetitions of the primitive cell."""


def phonons(atoms: Atoms, calculator: Calculator, params: PhysicsParams) -> Phonons:
    """Relax, displace, and diagonalise.

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
    from phonopy import Phonopy
    from phonopy.structure.atoms import PhonopyAtoms

    start = relaxed(standard_cell(atoms), calculator, params)
    heights = 1 / np.linalg.norm(start.cell.reciprocal(), axis=1)
    repeats = np.ceil(params.supercell_length / heights - 1e-6).astype(int)
    unit = PhonopyAtoms(
        symbols=start.get_chemical_symbols(),
        cell=np.array(start.cell),
        scaled_positions=start.get_scaled_positions(),
    )
    work = Phonopy(unit, supercell_matrix=np.diag(repeats), primitive_matrix="P", symprec=1e-4)
    work.generate_displacements(distance=params.displacement)
    work.forces = np.array(
        [_forces(cell, calculator) for cell in work.supercells_with_displacements or []]
    )
    work.produce_force_constants(show_drift=False)
    work.symmetrize_force_constants(show_drift=False)

    line = start.cell.bandpath(npoints=PATH_POINTS)
    places, label_places, labels = line.get_linear_kpoint_axis()
    work.run_band_structure([line.kpts])
    bands = np.asarray(work.get_band_structure_dict()["frequencies"])[0]
    mesh = work.run_mesh(MESH_LENGTH)
    density = work.run_total_dos()
    return Phonons(
        lowest=float(min(bands.min(), mesh.frequencies.min())),
        highest=float(max(bands.max(), mesh.frequencies.max())),
        path=(places / places[-1]).tolist(),
        bands=bands.tolist(),
        labels=list(labels),
        label_places=(np.asarray(label_places) / places[-1]).tolist(),
        dos_frequencies=np.asarray(density.frequency_points).tolist(),
        dos=np.asarray(density.dos).tolist(),
        supercell=repeats.tolist(),
    )


def _forces(cell: object, calculator: Calculator) -> np.ndarray:
    """Forces (n, 3) in eV/Å of a cell of phonopy's."""
    atoms = Atoms(cell.symbols, scaled_positions=cell.scaled_positions, cell=cell.cell, pbc=True)  # type: ignore[attr-defined]
    atoms.calc = calculator
    return atoms.get_forces()
