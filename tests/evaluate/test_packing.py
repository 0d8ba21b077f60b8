"""Nearest neighbours, coordination and Voronoi volumes of crystals and of any cell."""

import numpy as np
import pytest
from ase.build import bulk
from cells import skewed

from entropy_flows.evaluate.packing import packing, voronoi_volumes


@pytest.mark.parametrize(("symbol", "neighbours"), [("Cu", 12), ("Si", 4), ("Po", 6)])
def test_crystals(symbol, neighbours):
    atoms = bulk(symbol)
    nearest = packing([atoms], 1.0, 9.0).nearest[0]
    found = packing([atoms] * 3, 1.1 * nearest, 9.0)
    np.testing.assert_array_equal(found.coordination, [neighbours] * 3 * len(atoms))
    np.testing.assert_allclose(found.nearest, nearest)
    np.testing.assert_allclose(voronoi_volumes(atoms), atoms.get_volume() / len(atoms))


@pytest.mark.parametrize("seed", range(4))
def test_voronoi_volumes_fill_the_cell(seed):
    atoms = skewed("W4", seed=seed)
    volumes = voronoi_volumes(atoms)
    assert volumes.sum() == pytest.approx(atoms.get_volume())
    assert volumes.min() > 0
    assert np.ptp(volumes) > 0.01


def test_an_atom_far_from_all_has_no_neighbour():
    atoms = bulk("Cu") * (1, 1, 1)
    atoms.set_cell(20 * np.eye(3))
    found = packing([atoms], 3.0, 5.0)
    assert (found.nearest[0], found.coordination[0]) == (np.inf, 0)
