"""The laws of the sufficient statistics: gain = recomputed determinant, merge = concatenation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entropy_flows.entropy import SufficientStatistics

LAMBDA = 1e-3


def cloud(n_cells, atoms, dim, seed=0):
    """Fingerprint-like vectors: decaying scales, a mean far from zero."""
    rng = np.random.default_rng(seed)
    scale = 10.0 * np.exp(-6 * np.arange(dim) / dim)
    return [scale * (2 + 0.2 * rng.normal(size=(atoms, dim))) for _ in range(n_cells)]


def recomputed(cells, dim, mode):
    """log det of Σ from the vectors themselves."""
    rows = [q if mode == "atom" else q.mean(axis=0, keepdims=True) for q in cells]
    if not rows:
        return dim * np.log(LAMBDA)
    x = np.concatenate(rows)
    x = x - x.mean(axis=0)
    return np.linalg.slogdet(x.T @ x / len(x) + LAMBDA * np.eye(dim))[1]


def filled(cells, dim, mode):
    statistics = SufficientStatistics(dim, LAMBDA, mode)
    for q in cells:
        statistics.add(q)
    return statistics


@pytest.mark.parametrize("mode", ["atom", "config"])
@pytest.mark.parametrize("dim", [3, 30, 200])
@pytest.mark.parametrize("n", [0, 1, 2, 10, 300, 10_000])
def test_gain_is_the_recomputed_determinant(n, dim, mode):
    cells = cloud(n, 1, dim)
    statistics = filled(cells, dim, mode)
    before = recomputed(cells, dim, mode)
    assert statistics.n == n
    assert statistics.entropy() == pytest.approx(before, abs=1e-9)
    candidates = [*cloud(3, 1, dim, seed=1), *cloud(2, 8, dim, seed=2), 1.3 * cloud(1, 32, dim, seed=3)[0]]
    gains = statistics.gains(candidates)
    for q, gain in zip(candidates, gains, strict=True):
        assert gain == pytest.approx(recomputed([*cells, q], dim, mode) - before, abs=1e-9)
        assert gain == pytest.approx(statistics.gain(q), abs=1e-12)


def test_gain_of_many_sizes_follows_the_sequence():
    """Accepting one cell after another adds up."""
    cells = [q for atoms in (1, 4, 9, 40) for q in cloud(3, atoms, 12, seed=atoms)]
    statistics = SufficientStatistics(12, LAMBDA)
    for k, q in enumerate(cells):
        expected, before = statistics.gain(q), statistics.entropy()
        statistics.add(q)
        assert statistics.entropy() - before == pytest.approx(expected, abs=1e-10)
        assert statistics.entropy() == pytest.approx(recomputed(cells[: k + 1], 12, "atom"), abs=1e-9)


def test_first_cell():
    q = cloud(1, 4, 6)[0]
    assert SufficientStatistics(6, LAMBDA, "config").gain(q) == 0
    assert SufficientStatistics(6, LAMBDA, "atom").gain(q[:1]) == 0
    assert SufficientStatistics(6, LAMBDA, "atom").gain(q) > 1
    assert SufficientStatistics(6, LAMBDA).entropy() == pytest.approx(6 * np.log(LAMBDA))


@pytest.mark.parametrize("mode", ["atom", "config"])
@pytest.mark.parametrize("n", [0, 1, 5, 200])
@pytest.mark.parametrize("atoms", [1, 3, 12])
def test_gradient_is_the_derivative(atoms, n, mode):
    dim, step = 6, 1e-5
    statistics = filled(cloud(n, 2, dim), dim, mode)
    q = cloud(1, atoms, dim, seed=7)[0]
    gradient = statistics.gradient(q)
    for index in np.ndindex(q.shape):
        shift = np.zeros_like(q)
        shift[index] = step
        slope = (statistics.gain(q + shift) - statistics.gain(q - shift)) / (2 * step)
        assert gradient[index] == pytest.approx(slope, abs=1e-6, rel=1e-6)


@pytest.mark.parametrize("mode", ["atom", "config"])
def test_paper_gradient_is_the_limit_of_large_datasets(mode):
    dim = 5
    statistics = filled(cloud(3000, 4, dim), dim, mode)
    q = cloud(1, 2, dim, seed=7)[0]
    vectors = q if mode == "atom" else np.repeat(q.mean(axis=0, keepdims=True), 2, axis=0) / 1
    expected = 2 / statistics.n * np.linalg.solve(statistics.covariance(), (vectors - statistics.mean).T).T
    expected = expected if mode == "atom" else expected / 2
    np.testing.assert_allclose(statistics.paper_gradient(q), expected, rtol=1e-9)
    np.testing.assert_allclose(statistics.gradient(q), expected, rtol=0.05, atol=1e-6)


@given(split=st.integers(0, 12), mode=st.sampled_from(["atom", "config"]))
@settings(max_examples=20, deadline=None)
def test_merge_is_concatenation(split, mode):
    cells = [*cloud(6, 3, 9), *cloud(6, 5, 9, seed=1)]
    left, right = filled(cells[:split], 9, mode), filled(cells[split:], 9, mode)
    right_before = right.checksum()
    left.merge(right)
    whole = filled(cells, 9, mode)
    assert left.n == whole.n
    np.testing.assert_allclose(left.mean, whole.mean, rtol=1e-14)
    np.testing.assert_allclose(left.covariance(), whole.covariance(), rtol=1e-10, atol=1e-13)
    assert left.entropy() == pytest.approx(whole.entropy(), abs=1e-10)
    assert right.checksum() == right_before


def test_covariance_and_mean():
    cells = cloud(7, 3, 4)
    statistics = filled(cells, 4, "atom")
    x = np.concatenate(cells)
    np.testing.assert_allclose(statistics.mean, x.mean(axis=0))
    np.testing.assert_allclose(statistics.covariance(), np.cov(x.T, bias=True) + LAMBDA * np.eye(4))


@pytest.mark.parametrize("mode", ["atom", "config"])
def test_bytes_round_trip(mode):
    statistics = filled(cloud(20, 3, 11), 11, mode)
    again = SufficientStatistics.from_bytes(statistics.to_bytes())
    assert again.to_bytes() == statistics.to_bytes()
    assert again.checksum() == statistics.checksum()
    assert (again.mode, again.n, again.regularization) == (mode, 20 * (3 if mode == "atom" else 1), LAMBDA)
    q = cloud(1, 3, 11, seed=5)[0]
    assert again.gain(q) == statistics.gain(q)
    again.add(q)
    statistics.add(q)
    assert again.checksum() == statistics.checksum()


@given(st.data())
@settings(max_examples=50, deadline=None)
def test_damaged_bytes_are_refused(data):
    good = filled(cloud(5, 3, 4), 4, "atom").to_bytes()
    position = data.draw(st.integers(0, len(good) - 1))
    bad = bytearray(good)
    bad[position] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ValueError, match=r"damaged|no sufficient statistics"):
        SufficientStatistics.from_bytes(bytes(bad))
    with pytest.raises(ValueError, match=r"damaged|no sufficient statistics"):
        SufficientStatistics.from_bytes(good[:position])


def test_copy_is_independent():
    statistics = filled(cloud(5, 3, 4), 4, "atom")
    checksum, twin = statistics.checksum(), statistics.copy()
    twin.add(cloud(1, 3, 4, seed=9)[0])
    assert statistics.checksum() == checksum != twin.checksum()
    assert statistics.entropy() != twin.entropy()


def test_arguments_are_not_kept():
    q = cloud(1, 1, 4)[0]
    statistics = filled([q], 4, "atom")
    before = statistics.checksum()
    q += 1
    assert statistics.checksum() == before


def test_wrong_input():
    for arguments, message in [
        ((0,), "dim is 0"),
        ((3, -1e-3), "regularization is -0.001"),
        ((3, np.nan), "regularization is nan"),
        ((3, 1e-3, "atoms"), "mode is 'atoms'"),
    ]:
        with pytest.raises(ValueError, match=message):
            SufficientStatistics(*arguments)
    statistics = filled(cloud(3, 2, 4), 4, "atom")
    before = statistics.checksum()
    bad = np.ones((2, 4))
    bad[1, 2] = np.nan
    for q, message in [
        (np.ones((2, 3)), r"shape \(2, 3\)"),
        (np.ones(4), r"shape \(4,\)"),
        (bad, "atom 1 is not finite"),
    ]:
        for use in (statistics.add, statistics.gain, statistics.gradient):
            with pytest.raises(ValueError, match=message):
                use(q)
    for other in (SufficientStatistics(5), SufficientStatistics(4, 1e-2), SufficientStatistics(4, mode="config")):
        with pytest.raises(ValueError, match="cannot merge"):
            statistics.merge(other)
    assert statistics.checksum() == before
    with pytest.raises(ValueError, match="N, which is 0"):
        SufficientStatistics(4).paper_gradient(np.ones((1, 4)))
