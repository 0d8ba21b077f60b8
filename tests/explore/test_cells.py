"""Windows and random cells: where they are said to be, and no flatter or thinner than allowed."""

import itertools

import numpy as np
import pytest
from ase.build import bulk

from entropy_flows.explore.cells import (
    CLOSE_PACKED,
    ShapeParams,
    for_element,
    random_cell,
    reference_state,
    shortest_translation,
    windows,
)
from entropy_flows.geometry import shortest_distance


def test_the_papers_windows():
    found = windows(10.0)
    assert len(found) == 17
    assert (found[0].low, found[-1].high) == pytest.approx((4.5, 30.0))
    assert [w.high - w.low for w in found] == pytest.approx([1.5] * 17)
    assert [w.low for w in found[1:]] == [w.high for w in found[:-1]]
    assert [w.index for w in found] == list(range(17))


def test_exclusion_volume_scales_with_the_start_of_the_window():
    found = windows(15.8)
    assert [w.r_core**3 / w.low for w in found] == pytest.approx([CLOSE_PACKED**3] * 17)
    assert [w.r_min / w.r_core for w in found] == pytest.approx([0.9] * 17)


def test_close_packed_crystals_have_the_constant_of_close_packing():
    assert reference_state("Al").core == pytest.approx(CLOSE_PACKED)
    tungsten = reference_state("W")
    assert tungsten.volume == pytest.approx(bulk("W").get_volume())
    assert tungsten.nearest == pytest.approx(shortest_distance(bulk("W"))[0])
    assert reference_state("Si").core < 0.8 * CLOSE_PACKED


@pytest.mark.parametrize("symbol", ["Ga", "U", "Np"])
def test_an_element_without_a_tabulated_crystal_is_named(symbol):
    with pytest.raises(ValueError, match=rf"no crystal of element '{symbol}'.*give `volume`"):
        reference_state(symbol)


def test_cells_keep_to_window_and_shape():
    rng, shape = np.random.default_rng(0), ShapeParams()
    sizes, volumes = set(), []
    for window in windows(15.8)[::4]:
        for _ in range(40):
            atoms = random_cell("W", window, shape, rng)
            volume = atoms.get_volume() / len(atoms)
            lengths, angles = atoms.cell.lengths(), atoms.cell.angles()
            assert window.low - 1e-9 <= volume <= window.high + 1e-9
            assert max(lengths) / min(lengths) <= shape.aspect + 1e-9
            assert ((angles >= 50 - 1e-6) & (angles <= 130 + 1e-6)).all()
            assert atoms.get_volume() / lengths.prod() >= shape.flatness - 1e-9
            assert atoms.pbc.all()
            assert shortest_translation(atoms.cell.array) >= window.r_core
            sizes.add(len(atoms))
            volumes.append((volume - window.low) / (window.high - window.low))
    assert {2, 25} <= sizes <= set(range(2, 26))
    assert np.histogram(volumes, 4, (0, 1))[0].min() > 30  # uniform in the window: 50 expected


def test_shortest_translation_is_that_of_the_images():
    rng = np.random.default_rng(1)
    for _ in range(20):
        lattice = random_cell("W", windows(15.8)[3], ShapeParams(), rng).cell.array
        images = [
            np.linalg.norm(np.array(n) @ lattice)
            for n in itertools.product(range(-4, 5), repeat=3)
            if any(n)
        ]
        assert shortest_translation(lattice) == pytest.approx(min(images))


def test_the_same_stream_gives_the_same_cell():
    window = windows(15.8)[0]
    first, second = (
        random_cell("W", window, ShapeParams(), np.random.default_rng(3)) for _ in range(2)
    )
    assert first == second


def test_shapes_that_cannot_be_say_so():
    window = windows(15.8, core=3.0)[0]
    with pytest.raises(ValueError, match="no cell of 2 atoms"):
        random_cell("W", window, ShapeParams(atoms=(2, 2)), np.random.default_rng(0))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("atoms", (5, 2), "fewest"),
        ("angles", (100, 130), "smallest ≤ 90"),
        ("aspect", 0.5, "greater than or equal"),
    ],
)
def test_bounds_that_make_no_sense(field, value, message):
    with pytest.raises(ValueError, match=message):
        ShapeParams(**{field: value})


def test_cells_for_another_element():
    rng = np.random.default_rng(2)
    cells = [random_cell("W", window, ShapeParams(), rng) for window in windows(15.8)[:3]]
    cells[0].info |= {"gain": 0.5, "r_core": 2.0}
    there = for_element(cells, "Al", 15.8, 16.6)
    assert there[0].info == {"r_core": pytest.approx(2.0 * (16.6 / 15.8) ** (1 / 3))}
    for old, new in zip(cells, there, strict=True):
        assert set(new.get_chemical_symbols()) == {"Al"}
        assert new.get_volume() / old.get_volume() == pytest.approx(16.6 / 15.8)
        np.testing.assert_allclose(
            new.get_scaled_positions(), old.get_scaled_positions(), atol=1e-12
        )
        assert set(old.get_chemical_symbols()) == {"W"}
