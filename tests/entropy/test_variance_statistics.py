"""Variance statistics of cells: a criterion whose sums are those of one pass, to the last digit."""

import numpy as np
import pytest

from entropy_flows.entropy import Criterion
from entropy_flows.entropy.cell_basis import CellBasis, CellMeans
from entropy_flows.entropy.variance import TargetMoments
from entropy_flows.entropy.variance_statistics import VarianceStatistics

DIM = 7
NOISE = 0.4
RNG = np.random.default_rng(5)
CELLS = [
    RNG.normal(size=DIM) * [3, 2, 1, 1, 0.5, 0.2, 0.0] + RNG.normal(size=(size, DIM)) * 0.3
    for size in RNG.integers(2, 9, size=90)
]
TARGET = CellMeans.of(CELLS[:60])
BASIS = CellBasis.drawn(TARGET, 35, 0.5)
CHOSEN = CELLS[10:70]


def empty(weights=None, basis=BASIS):
    return VarianceStatistics.of_target(basis, TARGET, NOISE, weights)


def filled(cells):
    statistics = empty()
    for q in cells:
        statistics.add(q)
    return statistics


def by_definition(cells, target=TARGET, shares=None):
    """Mean posterior variance by the Gaussian process itself: no sums, no updates, no A."""
    weights = np.ones(len(target.means)) if shares is None else shares
    features = BASIS.features(target.means)
    if not cells:
        return 1.0
    known = CellMeans.of(cells)
    cross = features @ BASIS.features(known.means).T
    own = BASIS.features(known.means)
    noisy = own @ own.T + np.diag(NOISE * TARGET.sizes.mean() / known.sizes)
    explained = np.einsum("tc,ct->t", cross, np.linalg.solve(noisy, cross.T))
    return 1 - weights @ explained / weights.sum()


def test_it_is_a_criterion():
    assert isinstance(empty(), Criterion)


def test_value_and_gains_are_those_of_the_definition_after_many_updates():
    statistics = filled(CHOSEN)
    assert statistics.n == len(CHOSEN)
    assert statistics.value() == pytest.approx(by_definition(CHOSEN), abs=1e-12)
    differences = [by_definition(CHOSEN) - by_definition([*CHOSEN, q]) for q in CELLS[70:]]
    np.testing.assert_allclose(statistics.gains(CELLS[70:]), differences, atol=1e-12)
    assert statistics.gain(CELLS[80]) == pytest.approx(differences[10], abs=1e-12)


def test_gains_are_never_negative_and_the_value_falls_to_what_landmarks_cannot_see():
    statistics = empty()
    blind = 1 - np.trace(statistics.target.matrix)
    before = statistics.value()
    for q in CELLS * 3:
        gain = statistics.gain(q)
        assert gain >= 0
        statistics.add(q)
        assert statistics.value() == pytest.approx(before - gain, abs=1e-12)
        before = statistics.value()
    assert blind - 1e-12 < before < 1


def test_a_weighted_target_is_its_weighted_mean():
    shares = RNG.uniform(0.1, 3, size=len(TARGET.means))
    statistics = empty(shares)
    statistics.add_cells(CellMeans.of(CHOSEN))
    assert statistics.value() == pytest.approx(by_definition(CHOSEN, shares=shares), abs=1e-12)


def test_merged_data_sets_are_one_pass():
    merged = filled(CHOSEN[:25])
    merged.merge(filled(CHOSEN[25:]))
    at_once = empty()
    at_once.add_cells(CellMeans.of(CHOSEN))
    one_pass = filled(CHOSEN)
    for statistics in (merged, at_once):
        assert statistics.n == one_pass.n
        np.testing.assert_allclose(
            statistics.variance.precision, one_pass.variance.precision, atol=1e-11
        )
        assert statistics.value() == pytest.approx(one_pass.value(), abs=1e-12)
        np.testing.assert_allclose(statistics.gains(CELLS), one_pass.gains(CELLS), atol=1e-12)


def test_what_does_not_belong_together_is_not_merged():
    other = CellBasis.drawn(TARGET, 20, 0.5)
    with pytest.raises(ValueError, match="cannot merge statistics in basis"):
        empty().merge(empty(basis=other))
    with pytest.raises(ValueError, match=r"noise 1 into those of 0\.4"):
        empty().merge(VarianceStatistics.of_target(BASIS, TARGET, 1.0))


def test_what_a_cell_takes_off_is_said_when_it_is_let_in():
    statistics = filled(CHOSEN[:20])
    before = statistics.value()
    gain = statistics.gain(CELLS[77])
    assert statistics.admit(CELLS[77]) == pytest.approx(gain, abs=1e-14)
    assert statistics.value() == pytest.approx(before - gain, abs=1e-13)


def test_gains_do_not_depend_on_the_batch():
    statistics = filled(CHOSEN)
    together = statistics.gains(CELLS)
    alone = [statistics.gain(q) for q in CELLS]
    np.testing.assert_allclose(together, alone, rtol=1e-10, atol=1e-16)
    stack = np.array([q[:2] for q in CELLS])
    np.testing.assert_allclose(statistics.gains(stack), statistics.gains(list(stack)), rtol=1e-12)
    assert len(statistics.gains([])) == 0


def test_gradient_is_that_of_finite_differences():
    statistics = filled(CHOSEN[:30])
    q = CELLS[75].copy()
    gradient = statistics.gradient(q)
    numeric = np.zeros_like(q)
    step = 1e-4
    for index in np.ndindex(*q.shape):
        values = []
        for factor in (-2, -1, 1, 2):
            moved = q.copy()
            moved[index] += factor * step
            values.append(statistics.gain(moved))
        numeric[index] = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * step)
    scale = np.abs(gradient).max()
    assert scale > 1e-6
    np.testing.assert_allclose(gradient, numeric, atol=1e-10 * max(1.0, scale))


def test_bytes_are_the_same_for_the_same_cells_and_are_read_back_to_the_bit():
    statistics = filled(CHOSEN)
    data = statistics.to_bytes()
    again = VarianceStatistics.from_bytes(data, BASIS)
    assert again.to_bytes() == data
    assert again.checksum() == statistics.checksum() == filled(CHOSEN).checksum()
    assert again.n == statistics.n
    np.testing.assert_allclose(again.gains(CELLS), statistics.gains(CELLS), atol=1e-13)
    halfway = VarianceStatistics.from_bytes(filled(CHOSEN[:13]).to_bytes(), BASIS)
    for q in CHOSEN[13:]:
        halfway.add(q)
    assert halfway.to_bytes() == data


def test_damaged_bytes_and_those_of_another_basis_are_refused():
    data = bytearray(filled(CHOSEN).to_bytes())
    with pytest.raises(ValueError, match="not"):
        VarianceStatistics.from_bytes(bytes(data), CellBasis.drawn(TARGET, 20, 0.5))
    data[100] ^= 1
    with pytest.raises(ValueError, match="checksum does not match"):
        VarianceStatistics.from_bytes(bytes(data), BASIS)
    with pytest.raises(ValueError, match="no variance statistics"):
        VarianceStatistics.from_bytes(b"EFSS", BASIS)


def test_copies_are_independent():
    statistics = filled(CHOSEN[:5])
    twin = statistics.copy()
    twin.add(CELLS[80])
    assert statistics.n == 5
    assert statistics.checksum() == filled(CHOSEN[:5]).checksum()
    assert twin.checksum() == filled([*CHOSEN[:5], CELLS[80]]).checksum()


def test_another_target_keeps_the_data_set():
    statistics = filled(CHOSEN)
    renewed = statistics.for_target(
        TargetMoments(np.zeros(BASIS.dim), np.diag(np.full(BASIS.dim, 0.5 / BASIS.dim)))
    )
    assert renewed.n == statistics.n
    assert (renewed.variance.precision == statistics.variance.precision).all()
    expected = 0.5 * np.trace(statistics.variance.covariance) / BASIS.dim + 0.5
    assert renewed.value() == pytest.approx(expected)


def test_a_basis_is_read_back_to_the_bit_and_known_by_its_hash():
    again = CellBasis.from_bytes(BASIS.to_bytes())
    assert again.hash == BASIS.hash
    assert (again.features(TARGET.means) == BASIS.features(TARGET.means)).all()
    alike = CellBasis.drawn(TARGET, 35, 0.5, by_size=False)
    assert alike.hash != BASIS.hash
    assert CellBasis.from_bytes(alike.to_bytes()).mean_size is None
    assert (alike.weights(np.array([1.0, 9.0])) == 1).all()
    assert BASIS.weights(TARGET.sizes).mean() == pytest.approx(1)
    for data in (b"", b"EFKB", BASIS.to_bytes()[:-8]):
        with pytest.raises(ValueError, match="are no basis"):
            CellBasis.from_bytes(data)


def test_cells_without_numbers_or_of_another_length_are_refused():
    with pytest.raises(ValueError, match="must be"):
        empty().add(np.zeros((3, DIM + 1)))
    with pytest.raises(ValueError, match="not finite"):
        empty().gain(np.full((3, DIM), np.nan))
