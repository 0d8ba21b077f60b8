"""Statistics over the populated components alone are those over all of them, whichever are
populated and when.
"""

import numpy as np
import pytest
from exact import LAMBDA, exact_entropy, exact_gain
from hypothesis import given, settings
from hypothesis import strategies as st

from entropy_flows.entropy import SufficientStatistics
from entropy_flows.entropy.support import BLOCK_ELEMENTS, Support, populated_in

DIM = 9
SUPPORTS = st.sets(st.integers(0, DIM - 1))
CELLS = st.lists(st.tuples(SUPPORTS, st.integers(1, 4), st.integers(0, 99)), min_size=1, max_size=6)
MODES = st.sampled_from(["atom", "config"])


def cell(support, n_atoms, seed, dim=DIM):
    """Fingerprints that are 0 outside these components, and for some atoms in them."""
    rng = np.random.default_rng(seed)
    q = np.zeros((n_atoms, dim))
    for component in sorted(support):
        q[:, component] = 2 + rng.normal(size=n_atoms)
        q[rng.random(n_atoms) < 0.3, component] = 0.0
    return q


def filled(cells, mode, dim=DIM):
    statistics = SufficientStatistics(dim, LAMBDA, mode)
    for q in cells:
        statistics.add(q)
    return statistics


@given(CELLS, CELLS, MODES)
@settings(max_examples=60, deadline=None)
def test_entropy_and_gains_are_the_dense_ones(data, asked, mode):
    """Also of candidates with components that nobody has had."""
    cells, candidates = [cell(*one) for one in data], [cell(*one) for one in asked]
    statistics = filled(cells, mode)
    assert statistics.entropy() == pytest.approx(float(exact_entropy(cells, mode)), abs=1e-10)
    expected = [exact_gain(cells, q, mode) for q in candidates]
    np.testing.assert_allclose(statistics.gains(candidates), expected, rtol=0, atol=1e-10)
    np.testing.assert_allclose(
        [statistics.gain(q) for q in candidates], expected, rtol=0, atol=1e-10
    )
    for q in candidates:
        statistics.add(q)
    assert statistics.entropy() == pytest.approx(
        float(exact_entropy(cells + candidates, mode)), abs=1e-10
    )


@given(CELLS, CELLS, st.integers(0, 6), MODES)
@settings(max_examples=60, deadline=None)
def test_equal_content_gives_equal_bytes(data, asked, stop, mode):
    """Whatever was asked for before it came, and wherever it was stored and read again in
    between.
    """
    cells, candidates = [cell(*one) for one in data], [cell(*one) for one in asked]
    curious = SufficientStatistics(DIM, LAMBDA, mode)
    for number, q in enumerate(cells):
        if number == stop:
            curious = SufficientStatistics.from_bytes(curious.copy().to_bytes())
        curious.gains(candidates)
        curious.gradient(candidates[0])
        curious.add(q)
    plain = filled(cells, mode)
    assert curious.to_bytes() == plain.to_bytes()
    assert SufficientStatistics.from_bytes(plain.to_bytes()).to_bytes() == plain.to_bytes()
    content = (
        np.array([q.mean(axis=0) for q in cells]) if mode == "config" else np.concatenate(cells)
    )
    assert plain.populated.tolist() == np.flatnonzero(content.any(axis=0)).tolist()


@given(CELLS, CELLS, MODES)
@settings(max_examples=30, deadline=None)
def test_data_sets_of_different_supports_merge(data, others, mode):
    cells, more = [cell(*one) for one in data], [cell(*one) for one in others]
    merged, theirs = filled(cells, mode), filled(more, mode)
    before = theirs.checksum()
    merged.merge(theirs)
    whole = filled(cells + more, mode)
    assert merged.n == whole.n
    assert theirs.checksum() == before
    np.testing.assert_allclose(merged.mean, whole.mean, rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(merged.covariance(), whole.covariance(), rtol=1e-11, atol=1e-13)
    assert merged.entropy() == pytest.approx(whole.entropy(), abs=1e-9)


@pytest.mark.parametrize("mode", ["atom", "config"])
@pytest.mark.parametrize("support", [{0, 1}, {1, 2, 5}, {5, 6}, {0, 1, 2, 3, 4, 5, 6, 7, 8}])
def test_gradient_over_all_components(support, mode):
    """∂ΔH/∂q by finite differences, of empty components as well: 0 there, as ΔH is even in what
    is new.
    """
    statistics = filled([cell({0, 1, 2, 3}, 3, seed) for seed in range(4)], mode)
    q, step = cell(support, 3, 7), 1e-5
    gradient = statistics.gradient(q)
    for index in np.ndindex(q.shape):
        shift = np.zeros_like(q)
        shift[index] = step
        slope = (statistics.gain(q + shift) - statistics.gain(q - shift)) / (2 * step)
        assert gradient[index] == pytest.approx(slope, abs=2e-6, rel=1e-6)
    empty = sorted(set(range(DIM)) - support - {0, 1, 2, 3})
    assert not gradient[:, empty].any()
    rows = q if mode == "atom" else np.repeat(q.mean(axis=0, keepdims=True), 3, axis=0) / 1
    paper = (
        2 / statistics.n * np.linalg.solve(statistics.covariance(), (rows - statistics.mean).T).T
    )
    expected = paper if mode == "atom" else paper / 3
    np.testing.assert_allclose(statistics.paper_gradient(q), expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("mode", ["atom", "config"])
def test_nothing_populated(mode):
    statistics, nothing = SufficientStatistics(DIM, LAMBDA, mode), np.zeros((3, DIM))
    for _ in range(3):
        assert statistics.gain(nothing) == pytest.approx(0, abs=1e-12)
        assert not statistics.gradient(nothing).any()
        statistics.add(nothing)
    assert statistics.entropy() == pytest.approx(DIM * np.log(LAMBDA))
    assert statistics.populated.size == 0
    q = cell({3, 4}, 3, 1)
    assert statistics.gain(q) == pytest.approx(exact_gain([nothing] * 3, q, mode), abs=1e-10)


def test_six_elements_cost_what_is_populated():
    """d = 4200, of which 408 are populated: less than a mebibyte, and nothing of d² numbers."""
    rng, dim = np.random.default_rng(0), 4200
    support = set(rng.choice(dim, 408, replace=False).tolist())
    statistics = filled([cell(support, 16, seed, dim) for seed in range(6)], "atom", dim)
    assert len(statistics.populated) == 408
    assert len(statistics.to_bytes()) < 2**20
    candidate = cell(support | {1, 2, 3}, 16, 99, dim)
    small = sorted(support | {1, 2, 3})
    restricted = filled(
        [cell(support, 16, seed, dim)[:, small] for seed in range(6)], "atom", len(small)
    )
    assert statistics.gain(candidate) == pytest.approx(
        restricted.gain(candidate[:, small]), abs=1e-10
    )
    others = (dim - len(small)) * np.log(LAMBDA)
    assert statistics.entropy() == pytest.approx(restricted.entropy() + others, rel=1e-13)
    np.testing.assert_allclose(
        statistics.gradient(candidate)[:, small],
        restricted.gradient(candidate[:, small]),
        rtol=1e-9,
        atol=1e-12,
    )


def test_moments_of_some_components():
    cells = [cell({0, 2}, 3, seed) for seed in range(3)]
    mean, covariance = filled(cells, "atom").moments(np.array([0, 1, 2]))
    x = np.concatenate(cells)[:, :3]
    np.testing.assert_allclose(mean, x.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(covariance, np.cov(x.T, bias=True), rtol=1e-12, atol=1e-14)


def test_support_of_a_large_array_and_of_a_list():
    cells = np.zeros((3, 2, BLOCK_ELEMENTS // 2 + 1))
    cells[2, 1, 5] = np.nan
    cells[0, 0, 7] = -1.0
    assert (
        populated_in(cells, cells.shape[2]).tolist()
        == populated_in(list(cells), cells.shape[2]).tolist()
        == [5, 7]
    )
    support = Support.empty(4).united(np.array([3, 1])).united(np.array([1]))
    assert (
        support.components.tolist(),
        support.positions(np.array([3])).tolist(),
        len(support),
    ) == (
        [1, 3],
        [1],
        2,
    )
    np.testing.assert_array_equal(support.spread(np.array([[5.0, 6.0]])), [[0, 5, 0, 6]])
