"""Common crystals begin near contact, so that an equation of state finds their volumes."""

import numpy as np
import pytest
from ase.data import covalent_radii

from entropy_flows.explore.simple_crystals import simple_crystals


@pytest.mark.parametrize(
    ("elements", "count"), [(("Si",), 5), (("Cl", "Na"), 3), (("O", "Sr", "Ti"), 9)]
)
def test_simple_crystals_begin_near_contact(elements, count):
    crystals = simple_crystals(elements)
    assert len(crystals) == count
    for name, cell in crystals.items():
        distances = cell.get_all_distances(mic=True)
        radii = covalent_radii[cell.numbers]
        ratios = distances / (radii[:, None] + radii)
        nearest = ratios[~np.eye(len(cell), dtype=bool)].min()
        assert 0.8 < nearest < 1.16, name
        assert set(cell.get_chemical_symbols()) <= set(elements)
        assert 2 <= len(cell) <= 8
