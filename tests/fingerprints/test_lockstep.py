"""The laws an eigenvalue decomposition of many matrices obeys."""

import numpy as np
import pytest

from entropy_flows.fingerprints.lockstep import LANES, LARGEST, eigh_many, eigh_mixed

SIZES = (1, 2, 3, 4, 5, 7, 8, 9, 16, 23, 36, 50, 64, 72, LARGEST)


def solve(M, **settings):
    before = M.copy()
    values, V = np.full(M.shape[:2], np.nan), np.full(M.shape, np.nan)
    eigh_many(M, values, V, **settings)
    np.testing.assert_array_equal(M, before)
    return values, V


def check(M, values, V, ulps=4):
    """Residual, orthogonality and eigenvalues within a few ulps, of a power of two near each
    matrix's norm.
    """
    n, unit = M.shape[1], 2.0 ** np.floor(np.log2(np.maximum(np.abs(M).max((1, 2)), 1e-300)))
    M, values = M / unit[:, None, None], values / unit[:, None]
    limit = ulps * n * np.finfo(float).eps
    norm = np.maximum(np.linalg.norm(M, axis=(1, 2)), 1)
    assert (np.diff(values) >= 0).all()
    assert (np.abs(V @ M - values[:, :, None] * V).max((1, 2)) <= limit * norm).all()
    assert np.abs(V @ V.transpose(0, 2, 1) - np.eye(n)).max() <= limit
    assert (np.abs(values - np.linalg.eigvalsh(M)).max(1) <= limit * norm).all()


def symmetric(rng, count, n):
    M = rng.normal(size=(count, n, n))
    return M + M.transpose(0, 2, 1)


def overlaps(rng, count, n, spread=2.0):
    """Gaussians at random places: eigenvalues over many decades."""
    x = spread * rng.normal(size=(count, n, 3))
    return np.exp(-((x[:, :, None] - x[:, None]) ** 2).sum(-1) / 2)


def with_spectrum(rng, spectra):
    n = spectra.shape[1]
    Q = np.linalg.qr(rng.normal(size=(len(spectra), n, n)))[0]
    M = (Q * spectra[:, None]) @ Q.transpose(0, 2, 1)
    return (M + M.transpose(0, 2, 1)) / 2


@pytest.mark.parametrize("n", SIZES)
def test_solves_general_and_overlap_matrices(n):
    rng = np.random.default_rng(n)
    for M in (symmetric(rng, 19, n), overlaps(rng, 19, n), overlaps(rng, 3, n, 0.3)):
        check(M, *solve(M))


@pytest.mark.parametrize("n", [3, 23, 50])
def test_solves_clustered_and_deficient_spectra(n):
    rng = np.random.default_rng(n)
    spectra = np.array(
        [
            np.ones(n),
            np.arange(n) // 3,
            1 + 1e-15 * np.arange(n),
            1 + 1e-8 * np.arange(n),
            np.arange(n) < 2,
            np.r_[1e8, np.zeros(n - 1)],
            2.0 ** -np.arange(n),
            10.0 ** -(2 * np.arange(n)),
            np.r_[-1, np.ones(n - 1)],
        ]
    )
    M = with_spectrum(rng, spectra)
    check(M, *solve(M))


def test_solves_matrices_that_decouple():
    rng = np.random.default_rng(0)
    n = 12
    diagonal, halves, star, chain, wilkinson = np.zeros((5, n, n))
    diagonal[:] = np.diag(rng.permutation(n))
    halves[:5, :5], halves[5:, 5:] = overlaps(rng, 1, 5)[0], overlaps(rng, 1, 7)[0]
    star[0] = star[:, 0] = 1
    chain[:] = np.eye(n, k=1) + np.eye(n, k=-1)
    wilkinson[:] = np.diag(np.abs(np.arange(n) - 6)) + chain
    scattered = symmetric(rng, 1, n)[0]
    scattered[[2, 5, 9]] = scattered[:, [2, 5, 9]] = 0
    M = np.array(
        [
            np.zeros((n, n)),
            np.eye(n),
            np.ones((n, n)),
            diagonal,
            halves,
            star,
            chain,
            wilkinson,
            scattered,
        ]
    )
    values, V = solve(M)
    check(M, values, V)
    np.testing.assert_array_equal(values[[0, 1, 3]], [np.zeros(n), np.ones(n), np.arange(n)])


@pytest.mark.parametrize("exponent", [-308, -290, -150, 150, 290, 306])
def test_any_scale(exponent):
    M = overlaps(np.random.default_rng(1), 9, 11)
    values, V = solve(M * 10.0**exponent)
    np.testing.assert_allclose(values / 10.0**exponent, solve(M)[0], atol=1e-14)
    assert np.abs(V @ V.transpose(0, 2, 1) - np.eye(11)).max() < 1e-14


def test_elements_far_apart_in_scale():
    rng = np.random.default_rng(2)
    f = 10.0 ** rng.uniform(-160, 0, (20, 15))
    M = f[:, :, None] * overlaps(rng, 20, 15) * f[:, None]
    check(M, *solve(M))


@pytest.mark.parametrize("n", [1, 5, 23, 36])
def test_a_matrix_has_the_same_bits_in_any_company(n):
    rng = np.random.default_rng(n)
    M = np.concatenate(
        [
            overlaps(rng, 13, n),
            symmetric(rng, 7, n),
            np.zeros((1, n, n)),
            np.eye(n)[None],
            1e200 * overlaps(rng, 2, n),
        ]
    )
    bits = [x.view(np.int64) for x in solve(M)]
    order = rng.permutation(len(M))
    for some in (order, order[: LANES - 1], *np.arange(len(M))[:, None], np.r_[order, order]):
        for expected, found in zip(bits, solve(M[some]), strict=True):
            np.testing.assert_array_equal(found.view(np.int64), expected[some])


def test_values_alone_have_the_same_bits():
    M = overlaps(np.random.default_rng(3), 11, 23)
    values = np.empty((11, 23))
    eigh_many(M, values)
    np.testing.assert_array_equal(values, solve(M)[0])


def test_only_the_lower_triangle_is_read():
    M = symmetric(np.random.default_rng(4), 5, 9)
    for full, half in zip(solve(M), solve(np.tril(M)), strict=True):
        np.testing.assert_array_equal(full, half)


@pytest.mark.parametrize("sweeps", [0, 1, 10])
def test_what_does_not_converge_is_left_to_lapack(sweeps):
    rng = np.random.default_rng(5)
    M = np.concatenate(
        [
            symmetric(rng, 9, 20),
            np.eye(20)[None],
            with_spectrum(rng, 1.0 * (np.arange(60) % 20 < 2).reshape(3, 20)),
        ]
    )
    values, V = solve(M, sweeps=sweeps)
    check(M, values, V)
    lapack = np.array([(values[b] == np.linalg.eigh(M[b])[0]).all() for b in range(9)])
    assert (lapack == (sweeps < 2)).all()
    np.testing.assert_array_equal(V[9], np.eye(20))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("n", [1, 2, 13])
def test_a_matrix_that_is_not_finite_ends_in_nan_and_spares_the_others(bad, n):
    M = overlaps(np.random.default_rng(6), 10, n)
    expected = solve(M)
    M[3, n - 1, 0] = bad
    values, V = solve(M)
    assert np.isnan(values[3]).all()
    assert np.isnan(V[3]).all()
    others = np.arange(10) != 3
    np.testing.assert_array_equal(values[others], expected[0][others])
    np.testing.assert_array_equal(V[others], expected[1][others])


def test_no_matrices():
    values, V = solve(np.empty((0, 4, 4)))
    assert values.shape == (0, 4)
    assert V.shape == (0, 4, 4)


def test_a_matrix_has_the_same_bits_beside_matrices_of_other_sizes():
    rng = np.random.default_rng(7)
    sizes = np.sort(rng.integers(1, 40, 30))
    matrices = [f(rng, 1, n)[0] for n, f in zip(sizes, [overlaps, symmetric] * 15, strict=True)]
    values, V = np.empty(sizes.sum()), np.empty((sizes**2).sum())
    eigh_mixed(sizes, np.concatenate([M.ravel() for M in matrices]), values, V)
    alone = [solve(M[None]) for M in matrices]
    for found, expected in ((values, [a[0] for a in alone]), (V, [a[1] for a in alone])):
        expected = np.concatenate([a.ravel() for a in expected])
        np.testing.assert_array_equal(found.view(np.int64), expected.view(np.int64))


def test_sizes_that_do_not_ascend_are_refused():
    with pytest.raises(ValueError, match="ascend"):
        eigh_mixed(np.array([3, 2]), np.zeros(13), np.zeros(5), np.zeros(13))
