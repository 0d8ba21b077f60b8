"""Collinear moments: what is taken for one, and cells that carry them through formats."""

import numpy as np
import pytest
from ase import Atoms
from cells import crystal
from pymatgen.core import Lattice, Structure
from pymatgen.electronic_structure.core import Magmom

from entropy_flows.geometry import cell_hash, rescaled, to_atoms, to_structure
from entropy_flows.moments import collinear, moments_by_species, moments_of, set_moments, summary


def rock_salt(moments=None):
    cell = crystal("Fm-3m", Lattice.cubic(4.17), ["Ni", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    set_moments(cell, moments)
    return cell


@pytest.mark.parametrize(
    ("values", "moments"),
    [
        ([2, -2, 0], [2, -2, 0]),
        ([2, None, np.float64(-1.5)], [2, 0, -1.5]),
        ([[0, 0, 2], [0, 0, -2], [0, 0, 0]], [2, -2, 0]),
        ([[0, 0, -2], [0, 0, 2], None], [-2, 2, 0]),
        ([[1, 1, 0], [-2, -2, 0]], [2**0.5, -(8**0.5)]),
        ([Magmom([0, 0, -3]), Magmom(3)], [-3, 3]),
        ([[0, 0, 0], [0, 0, 0]], [0, 0]),
        ([-0.0, 0.0], [0, 0]),
    ],
)
def test_moments_along_one_axis(values, moments):
    found = collinear(values)
    np.testing.assert_allclose(found, moments, atol=1e-12)
    assert not np.signbit(found[found == 0]).any()


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([[0, 0, 2], [2, 0, 0]], "not collinear: atom 1 has"),
        ([[0, 0, 2], [0.1, 0, -2]], "not collinear: atom 0 has"),
        ([2, float("nan")], "moment of atom 1 is nan"),
        ([2, "up"], "moment of atom 1 is 'up'; expected a number"),
        ([[1, 2], [3, 4]], r"moment of atom 0 is \[1, 2\]"),
        ([2.0, [0, 0, 2]], "atom 0 is the number 2, those of others are vectors"),
    ],
)
def test_what_is_no_collinear_moment_is_named(values, reason):
    with pytest.raises(ValueError, match=reason):
        collinear(values)


def test_cells_carry_their_moments_between_pymatgen_and_ase():
    moments = [2, 2, -2, -2, 0, 0.5, 0, 0]
    cell = rock_salt(moments)
    atoms = to_atoms(cell)
    np.testing.assert_array_equal(atoms.get_initial_magnetic_moments(), moments)
    np.testing.assert_array_equal(moments_of(to_structure(atoms)), moments)
    np.testing.assert_array_equal(rescaled(atoms, 10.0).get_initial_magnetic_moments(), moments)
    assert not to_atoms(rock_salt()).has("initial_magmoms")
    assert moments_of(to_structure(to_atoms(rock_salt()))) is None
    assert moments_of(rock_salt([0.0] * 8)) is not None  # zero is a start, too


def test_vectors_of_ase_become_numbers_or_are_refused():
    atoms = Atoms(
        "Ni2",
        positions=[[0, 0, 0], [2, 0, 0]],
        cell=[4] * 3,
        pbc=True,
        magmoms=[[0, 0, 2], [0, 0, -2]],
    )
    np.testing.assert_array_equal(moments_of(to_structure(atoms)), [2, -2])
    atoms.set_initial_magnetic_moments([[0, 0, 2], [0, 2, 0]])
    with pytest.raises(ValueError, match="not collinear"):
        to_structure(atoms)


def test_magnetic_orders_are_different_calculations():
    cells = [
        None,
        [2] * 4 + [0] * 4,
        [2, 2, -2, -2, 0, 0, 0, 0],
        [2, -2, 2, -2, 0, 0, 0, 0],
        [0] * 8,
    ]
    assert len({cell_hash(rock_salt(moments)) for moments in cells}) == len(cells)
    assert cell_hash(rock_salt([2.0] * 8)) == cell_hash(rock_salt([2.0 + 1e-9] * 8))
    # as it was before there were moments: labels that exist are found
    plain = rock_salt()
    plain.add_site_property("coordination_no", [6] * 8)
    assert cell_hash(plain) == cell_hash(rock_salt())


def test_moments_by_oxidation_state_then_element():
    cell = Structure(Lattice.cubic(6), ["Fe2+", "Fe3+", "Ni", "O2-"], np.eye(4, 3) / 2)
    table = {"Fe2+": 4, "Fe": 5, "Ni": 2}
    np.testing.assert_array_equal(moments_by_species(cell, table, 0.6), [4, 5, 2, 0.6])


def test_summary():
    assert summary(rock_salt([2, 2, -2, -2, 0, 0, 0, 0])) == "Ni 2×+2 2×-2, O 4×0"
    assert summary(rock_salt()) == ""
