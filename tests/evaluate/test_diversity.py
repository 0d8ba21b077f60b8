"""Sets made comparable, and their log det Σ."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from cells import rattled

from entropy_flows.evaluate.coverage import log_det
from entropy_flows.evaluate.diversity import (
    DiversityParams,
    comparable,
    diversities,
    equilibrium_volume,
    volume_per_atom,
)
from entropy_flows.report.diversity import cover_plot, diversity_plot


def at(symbol, factors, a=4.0):
    """Cells of fcc with V = factor · a³/4 per atom."""
    return [bulk(symbol, "fcc", a=a * factor ** (1 / 3)) for factor in factors]


def labelled(atoms, energy):
    atoms.calc = SinglePointCalculator(atoms, energy=energy)
    return atoms


def volumes(part):
    return [volume_per_atom(atoms) for atoms in part.cells]


def prints(n, spread, seed=0, dim=5, atoms=8):
    rng = np.random.default_rng(seed)
    return [spread * rng.normal(size=(atoms, dim)) for _ in range(n)]


def test_equilibrium_is_that_of_the_least_energy_or_the_median():
    cells = at("Al", [0.8, 1.0, 1.1, 1.3, 1.5])
    assert equilibrium_volume(cells) == (pytest.approx(16 * 1.1), "median: 5 of 5 without energy")
    for atoms, energy in zip(cells, [-1.0, -3.0, -2.0, 0.0, 5.0], strict=True):
        labelled(atoms, energy)
    assert equilibrium_volume(cells) == (pytest.approx(16), "least energy")
    cells[0].calc = None  # one that is not labelled: energies cannot decide
    assert equilibrium_volume(cells) == (pytest.approx(16 * 1.1), "median: 1 of 5 without energy")
    labelled(cells[0], float("nan"))
    assert equilibrium_volume(cells)[1] == "median: 1 of 5 without energy"


def test_energies_of_different_compositions_are_not_compared():
    cells = at("Al", [0.8, 1.0, 1.3]) + at("Ni", [1.1])
    for atoms, energy in zip(cells, [-1.0, -3.0, -2.0, -9.0], strict=True):
        labelled(atoms, energy)
    assert equilibrium_volume(cells) == (pytest.approx(16 * 1.05), "median: several compositions")


def test_a_set_is_scaled_as_a_whole_and_its_own_densities_stay():
    factors = [0.7, 0.8, 1.0, 1.2, 1.3]
    sets = {"Al": at("Al", factors), "W": at("W", factors, a=3.0)}
    al, w = comparable(sets, DiversityParams())
    assert (al.total, len(al.cells), al.equilibrium) == (5, 3, pytest.approx(16))
    assert w.equilibrium == pytest.approx(6.75)
    np.testing.assert_allclose(volumes(al), [12.8, 16, 19.2])
    np.testing.assert_allclose(volumes(w), [12.8, 16, 19.2])
    assert {symbol for part in (al, w) for atoms in part.cells for symbol in atoms.symbols} == {
        "Al"
    }
    assert sets["W"][0].symbols[0] == "W"


def test_each_cell_at_one_density_or_none():
    sets = {"a": at("Al", [0.8, 1.0, 1.2, 2.0, 0.1]), "b": at("Al", [1.0, 1.1, 0.9], a=3.5)}
    a, b = comparable(sets, DiversityParams(rescale="cell", volume=20.0))
    np.testing.assert_allclose([*volumes(a), *volumes(b)], 20.0)
    assert len(a.cells) == 3  # the window is judged before
    a, b = comparable(sets, DiversityParams(rescale="none", window=None))
    np.testing.assert_allclose(volumes(a), 16 * np.array([0.8, 1.0, 1.2, 2.0, 0.1]))
    np.testing.assert_allclose(volumes(b), 3.5**3 / 4 * np.array([1.0, 1.1, 0.9]))


def test_window_and_scaling_commute():
    cells = at("Al", np.linspace(0.5, 2.0, 31))
    params = DiversityParams(volume=30.0)
    first = comparable({"a": cells}, params)[0]
    scaled = comparable({"a": cells}, DiversityParams(volume=30.0, window=None))[0].cells
    after = comparable({"a": scaled}, params)[0]
    np.testing.assert_allclose(volumes(first), volumes(after))


def test_species_stay_where_a_set_has_more_than_one():
    mixed = rattled("Si", 1)
    mixed.symbols[0] = "C"
    parts = comparable(
        {"SiC": [mixed, mixed.copy()], "C": [rattled("C", 1), rattled("C", 1, seed=1)]},
        DiversityParams(),
    )
    assert set(parts[0].cells[0].symbols) == {"Si", "C"}
    assert set(parts[1].cells[0].symbols) == {"C"}


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([], "b has no cells"),
        ([Atoms("Al", [[0, 0, 0]])], r"b\[0\] has no density, it is .*: it has 0 cell vectors"),
        (
            [Atoms("Al", [[0, 0, 0]], cell=[9, 9, 9])],
            r"b\[0\] has no density, .*: pbc is \"F F F\"; expected \"T T T\"",
        ),
        (
            [Atoms("Al", [[np.nan, 0, 0]], cell=[4, 4, 4], pbc=True)],
            r"b\[0\]: positions are not finite",
        ),
        (at("Al", [1.0, 1.0, 3.0])[1:], "b has 0 of 2 cells within 25% of V_eq = 32"),
    ],
)
def test_sets_that_cannot_be_compared(cells, message):
    with pytest.raises(ValueError, match=message):
        comparable({"a": at("Al", [1.0, 1.1]), "b": cells}, DiversityParams())


def test_log_det_is_of_the_covariance():
    vectors = np.concatenate(prints(30, 2.0))
    covariance = np.cov(vectors.T, bias=True) + 1e-2 * np.eye(5)
    assert log_det([vectors], 1e-2, "atom") == pytest.approx(np.linalg.slogdet(covariance)[1])


def test_draws_are_of_equal_size_and_the_wider_set_wins():
    pools = {"wide": prints(90, 2.0), "narrow": prints(30, 1.0, seed=1, atoms=12)}
    found = diversities(pools, DiversityParams(draws=5))
    assert found["wide"].drawn == found["narrow"].drawn == {"atom": 360, "config": 30}
    assert found["wide"].count == {"atom": 720, "config": 90}
    for mode in ("atom", "config"):
        assert found["wide"].equal[mode].mean > found["narrow"].equal[mode].mean
        assert found["wide"].equal[mode].std > 0
        assert (
            found["narrow"].full[mode] > found["narrow"].nothing == pytest.approx(5 * np.log(1e-3))
        )
    # all of the smaller set, whatever the seed
    assert found["narrow"].equal["atom"].mean == pytest.approx(found["narrow"].full["atom"])
    again = diversities(pools, DiversityParams(draws=5))
    assert again == found


def test_alike_vectors_have_nothing():
    same = [np.ones((4, 3)) for _ in range(5)]
    found = diversities({"a": same, "b": same}, DiversityParams(draws=2))
    assert found["a"].full["atom"] == pytest.approx(found["a"].nothing)


def test_figures_show_every_set(tmp_path):
    pools = {"wide": prints(20, 2.0), "narrow": prints(8, 1.0, seed=1)}
    bars = diversity_plot(diversities(pools, DiversityParams(draws=2)))
    assert [axis.get_title() for axis in bars.axes] == ["per atom", "per config"]
    cover = cover_plot(pools)
    assert len(cover.axes) == 4
    drawn = {line.get_label(): len(line.get_xdata()) for line in cover.axes[0].get_lines()}
    assert drawn == {"the others": 64, "wide": 160}
    for figure in (bars, cover):
        figure.savefig(tmp_path / "figure.png")
