"""Numbers that went through VASP's files, atomate2 and custodian are still the engine's."""

import gzip

import numpy as np
import pytest
from ase.units import GPa
from cells import crystal
from pair import PairPotential
from pymatgen.core import Lattice, Structure

from entropy_flows.geometry import to_atoms
from entropy_flows.label import label_one


def rattled(cell, width):
    steps = np.random.default_rng(7).normal(scale=width, size=(len(cell), 3))
    return Structure(
        cell.lattice, cell.species, cell.cart_coords + steps, coords_are_cartesian=True
    )


def compressed():
    cell = crystal("Fd-3m", Lattice.cubic(4.3), ["Si"], [[0, 0, 0]])
    return rattled(cell, 0.05)


def shuffled():
    """Rock salt, sheared and distorted, its species interleaved."""
    salt = crystal("Fm-3m", Lattice.cubic(5.3), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    sheared = Lattice(salt.lattice.matrix @ np.array([[1, 0.05, 0], [0, 1, -0.04], [0.02, 0, 1]]))
    order = [0, 4, 5, 1, 2, 6, 7, 3]
    cell = Structure(sheared, [salt[i].specie for i in order], salt.frac_coords[order])
    return rattled(cell, 0.1)


def left_handed():
    cell = shuffled()
    return Structure(cell.lattice.matrix[[1, 0, 2]], cell.species, cell.frac_coords[:, [1, 0, 2]])


@pytest.mark.parametrize("cell", [compressed, shuffled, left_handed])
def test_numbers_are_the_engines(vasp, cell):
    structure = cell()
    atoms = to_atoms(structure)
    atoms.calc = PairPotential()
    label = label_one(vasp(), structure)
    assert label.converged, label.evidence
    entropy = 0.2 * 0.05**2 * len(structure)  # TS; see standin.py
    assert label.free_energy == pytest.approx(atoms.get_potential_energy(), abs=1e-6)
    assert label.energy == pytest.approx(label.free_energy + entropy / 2, abs=1e-6)
    np.testing.assert_allclose(label.forces, atoms.get_forces(), atol=1e-6)
    np.testing.assert_allclose(label.stress, atoms.get_stress(voigt=False), atol=1e-6)
    assert label.pressure == pytest.approx(
        -np.trace(atoms.get_stress(voigt=False)) / 3 / GPa, abs=1e-4
    )
    if cell is compressed:
        assert label.pressure > 1
        assert np.trace(label.stress) < 0  # ASE's sign
    assert np.abs(label.forces).max() > 0.1  # or order and orientation would not show
    assert label.provenance["engine"] == "VASP PBE"
    assert label.provenance["SIGMA"] == 0.05
    assert label.provenance["potcar_titles"]
    assert "custodian" not in label.provenance
    with gzip.open("POSCAR.gz", "rt") as file:  # each species once, whatever the order in the cell
        species = file.read().splitlines()[5].split()
    assert len(species) == len(set(species))


def test_forces_are_derivatives_of_the_free_energy():
    """The comparison rests on this: the engine behind obeys F, not E₀."""
    atoms = to_atoms(shuffled())
    h = 1e-4
    atoms.calc = PairPotential()
    force = atoms.get_forces()[2, 1]
    energies = []
    for sign in (1, -1):
        atoms.positions[2, 1] += sign * h
        energies.append(atoms.get_potential_energy())
        atoms.positions[2, 1] -= sign * h
    assert (energies[1] - energies[0]) / (2 * h) == pytest.approx(force, abs=1e-5)
