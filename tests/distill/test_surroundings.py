"""Cells around a seed: the teacher's volumes, strains, close pairs, dynamics."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111
from ase.data import atomic_numbers, covalent_radii

from entropy_flows.distill.surroundings import (
    CLOSEST,
    PUSHED,
    Surroundings,
    longest_bond,
    rattled,
)
from entropy_flows.explore import equation_of_state
from entropy_flows.geometry import shortest_distance
from entropy_flows.potentials import load_batch_model

PRESSURES = (0.0, 10.0, 20.0, 30.0)


def ordered(a=3.75):
    """Cu3Au, four atoms."""
    sites = [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]
    return Atoms("AuCu3", scaled_positions=sites, cell=[a] * 3, pbc=True)


@pytest.fixture(scope="module")
def teacher():
    return load_batch_model("ase.calculators.emt.EMT")


@pytest.fixture(scope="module")
def around(teacher):
    return Surroundings.of("L12", ordered() * (2, 1, 1), teacher, PRESSURES)


def test_volumes_are_those_of_the_teachers_equation_of_state(around, teacher):
    eos = equation_of_state(ordered(), teacher)
    assert around.note == ""
    assert len(around.still) == 8  # twice the primitive cell of four
    assert len(around.moving) == 16  # ten would do
    for cell in (around.still, around.moving):
        assert cell.get_volume() / len(cell) == pytest.approx(eos.volume, rel=1e-6)
    lowest, middle, highest = around.pressed
    assert highest == pytest.approx(1.0)
    # Murnaghan's equation with B' = 4 at 30 and 20 GPa
    assert lowest == pytest.approx((1 + 4 * 30 / eos.bulk_modulus) ** -0.25)
    assert middle == pytest.approx((1 + 4 * 10 / eos.bulk_modulus) ** -0.25, abs=0.05)
    volumes = [cell.get_volume() / around.still.get_volume() for cell in around.curve(5)]
    assert volumes[0] == pytest.approx(1.08)
    assert volumes[-1] == pytest.approx(around.smallest)
    assert around.smallest < lowest
    assert np.all(np.diff(volumes) < 0)


def test_strained_cells_differ_in_shape_and_follow_from_the_seed(around):
    cells = around.strained(6, np.random.default_rng(1))
    again = around.strained(6, np.random.default_rng(1))
    assert all(np.array_equal(a.positions, b.positions) for a, b in zip(cells, again, strict=True))
    for cell in cells:
        assert not np.allclose(cell.cell.angles(), 90.0, atol=1e-3)
        fraction = cell.get_volume() / around.still.get_volume()
        assert around.smallest - 0.15 < fraction < around.largest + 0.15


def test_each_pair_of_elements_is_pushed_together(around):
    cells = around.close_pairs(6, np.random.default_rng(0))
    pairs = [("Cu", "Cu"), ("Cu", "Au"), ("Au", "Au")]
    smallest = dict.fromkeys(pairs, np.inf)
    for cell in cells:
        _, ratio = shortest_distance(cell)
        assert CLOSEST <= ratio <= PUSHED[1] + 0.05
        distances = cell.get_all_distances(mic=True) + 9 * np.eye(len(cell))
        symbols = np.array(cell.get_chemical_symbols())
        for first, second in pairs:
            block = distances[np.ix_(symbols == first, symbols == second)]
            smallest[first, second] = min(smallest[first, second], block.min())
    for (first, second), distance in smallest.items():
        assert distance < 0.95 * sum(covalent_radii[atomic_numbers[x]] for x in (first, second))


def test_dynamics_give_hot_cells_that_follow_from_the_seed(around, teacher):
    cells = around.dynamics(teacher, (900.0,), 6, warm_up=3, seed=3)
    again = around.dynamics(teacher, (900.0,), 6, warm_up=3, seed=3)
    assert len(cells) == 6
    assert all(np.array_equal(a.positions, b.positions) for a, b in zip(cells, again, strict=True))
    volumes = {round(cell.get_volume() / around.moving.get_volume(), 3) for cell in cells}
    assert volumes == {round(fraction, 3) for fraction in around.pressed}
    moved = [
        np.abs(cell.get_scaled_positions() - around.moving.get_scaled_positions()).max()
        for cell in cells
    ]
    assert min(moved) > 0


def test_a_slab_keeps_its_volume(teacher):
    slab = fcc111("Cu", (1, 1, 4), vacuum=6.0)
    slab.pbc = True
    around = Surroundings.of("slab", slab, teacher, PRESSURES)
    assert "vacuum" in around.note
    assert around.pressed == (1.0,)
    counts = np.round(around.moving.cell.lengths() / slab.cell.lengths()).astype(int)
    assert counts[2] == 1  # repeated along the surface only
    assert len(around.moving) >= 10


def test_a_lone_atom_is_not_displaced_and_has_no_bond():
    atom = Atoms("Cu", cell=[20] * 3, pbc=True)
    assert np.array_equal(rattled(atom, 0.1, np.random.default_rng(0)).positions, atom.positions)
    assert longest_bond(bulk("Cu", a=3.6)) == pytest.approx(3.6 / 2**0.5)


def test_a_distorted_crystal_is_not_averaged_to_a_smaller_one(teacher):
    seed = ordered() * (2, 1, 1)
    seed.positions[1, 2] += 0.1
    around = Surroundings.of("distorted", seed, teacher, PRESSURES)
    assert len(around.still) == 8
    doubled = Surroundings.of("perfect", ordered() * (2, 2, 2), teacher, PRESSURES)
    assert len(doubled.still) == 8  # a primitive cell of four, repeated to five and more
    assert len(doubled.moving) == 16
