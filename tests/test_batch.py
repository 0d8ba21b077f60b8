"""Batches of cells keep what they are given."""

import numpy as np
from ase import Atoms
from ase.build import bulk, molecule
from cells import skewed

from entropy_flows.batch import Batch

CELLS = [
    skewed("Si2C3", 2),
    bulk("Cu"),
    molecule("H2O"),
    Atoms(skewed("SiC2", 4), pbc=(True, False, True)),
]


def assert_equal(found, expected):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.numbers, other.numbers)
        np.testing.assert_array_equal(one.positions, other.positions)
        np.testing.assert_array_equal(one.cell[:], other.cell[:])
        np.testing.assert_array_equal(one.pbc, other.pbc)


def test_there_and_back():
    batch = Batch.of(CELLS)
    assert len(batch) == 4
    assert_equal(batch.structures(), CELLS)
    np.testing.assert_array_equal(batch.cells.owner, np.repeat(np.arange(4), [5, 1, 3, 3]))
    assert float(batch.cells.volumes[0]) == abs(CELLS[0].get_volume())


def test_some_of_them():
    batch = Batch.of(CELLS)
    assert_equal(batch.take([3, 0]).structures(), [CELLS[3], CELLS[0]])
    np.testing.assert_array_equal(batch.cells.atoms([1, 3]), [5, 9, 10, 11])
    assert len(batch.cells.atoms([])) == 0


def test_atoms_elsewhere():
    batch = Batch.of(CELLS)
    moved = batch.at(batch.positions + 1)
    assert moved.cells is batch.cells
    np.testing.assert_allclose(moved.positions - 1, batch.positions, atol=1e-14)
