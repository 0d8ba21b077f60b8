"""A growing scatter without decompositions: exact, within the rounding it states, and decomposed
anew when due.
"""

from decimal import Decimal

import numpy as np
import pytest
from exact import LAMBDA, cloud, decimal_log_det, exact_entropy, exact_gain, exact_log_det
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from entropy_flows.entropy import SufficientStatistics, spectrum
from entropy_flows.entropy.spectrum import MAX_COLUMN_RATIO, TOLERANCE, Shifted, Spectrum, log_det


@pytest.fixture
def decompositions(monkeypatch):
    """A list that grows by one with every eigendecomposition."""
    done, eigh = [], spectrum.eigh

    def counted(matrix, **options):
        done.append(len(matrix))
        return eigh(matrix, **options)

    monkeypatch.setattr(spectrum, "eigh", counted)
    return done


def grown(dim, columns, seed=0, scale=1.0):
    """A spectrum with columns (made without asking whether it should), and the matrix it stands
    for.
    """
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(2 * dim, dim))
    x[:, dim // 2 :] *= 1e-2
    base, W = Spectrum.of(x.T @ x), scale * rng.normal(size=(columns, dim))
    return Spectrum(base.values, base.vectors, W @ base.vectors), x.T @ x + W.T @ W


@pytest.mark.parametrize("shift", [1e-3, 0.7, 1e4])
@pytest.mark.parametrize("columns", [0, 1, 6, 30])
def test_determinant_and_inverse_at_any_shift(columns, shift):
    dim = 12
    spectra, C = grown(dim, columns)
    A, X = C + shift * np.eye(dim), np.random.default_rng(1).normal(size=(4, dim))
    at, inverse = spectra.shifted(shift), np.linalg.inv(A)
    value = np.log(spectra.values + shift).sum() + at.log_det_columns
    assert value == pytest.approx(float(exact_log_det(A.astype(np.longdouble))), abs=1e-11)
    for n_rows in (1, 10**6):  # candidate by candidate, or with the factor
        Z = at.whitener(n_rows)(X)
        np.testing.assert_allclose(Z @ Z.T, X @ inverse @ X.T, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(
            at.unwhiten(Z), X @ inverse, rtol=1e-9, atol=1e-10 * np.abs(inverse).max()
        )


@given(
    seed=st.integers(0, 10**6),
    columns=st.integers(1, 12),
    power=st.floats(-6, 6),
    shift=st.floats(-4, 3).map(lambda power: 10.0**power),
    parallel=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_rounding_stays_below_its_bound(seed, columns, power, shift, parallel):
    """For columns of any size, nearly parallel ones included; V = 1, so that there is no rounding
    but that bounded.
    """
    rng, dim = np.random.default_rng(seed), 12
    e, W = 10.0 ** rng.uniform(-8, 4, dim), 10.0**power * rng.normal(size=(columns, dim))
    if parallel:
        W = W[0] + 1e-5 * W
    u = 10.0 ** rng.uniform(-3, 3) * rng.normal(size=(1, dim))
    spectra = Spectrum(e, np.eye(dim), W)
    bound = spectra.rounding(shift)
    assume(bound < 1e-3)  # beyond, first order says nothing; no such spectrum is ever used
    bare, with_columns, with_both = (
        decimal_log_det(e + shift, x) for x in (W[:0], W, np.vstack([W, u]))
    )
    at = spectra.shifted(shift)
    assert abs(Decimal(at.log_det_columns) - (with_columns - bare)) <= bound
    gain = float(log_det(at.whitener(1)(u)[None])[0])
    assert abs(Decimal(gain) - (with_both - with_columns)) <= 3 * bound + 1e-14


def test_the_bound_falls_with_the_shift_and_grows_with_the_columns():
    small, large = grown(10, 3, scale=1.0)[0], grown(10, 3, scale=50.0)[0]
    assert 0 < small.rounding(10.0) < small.rounding(1.0) < large.rounding(1.0)
    assert grown(10, 0)[0].rounding(1.0) == 0


@pytest.mark.parametrize(("mode", "atoms", "cells"), [("config", 3, 90), ("atom", 8, 12)])
def test_many_acceptances_without_decomposing(mode, atoms, cells, decompositions):
    """At d = 200: entropy, gains, gradient after each of them are those of the determinants."""
    dim = 200
    kept, new, probes = (
        cloud(300, atoms, dim),
        cloud(cells, atoms, dim, seed=1),
        cloud(2, atoms, dim, seed=2),
    )
    statistics = SufficientStatistics(dim, LAMBDA, mode)
    for q in kept:
        statistics.add(q)
    statistics.gain(probes[0])
    assert len(decompositions) == 1
    for q in new:
        statistics.gain(q)
        statistics.add(q)
    kept += new
    gains, entropy = statistics.gains(probes), statistics.entropy()
    array = statistics.gains(np.tile(probes[0], (dim + 1, 1, 1)))  # more rows than d
    gradient, paper = statistics.gradient(probes[0]), statistics.paper_gradient(probes[0])
    assert len(decompositions) == 1
    assert entropy == pytest.approx(float(exact_entropy(kept, mode)), abs=1e-9)
    for q, gain in zip(probes, gains, strict=True):
        assert gain == pytest.approx(exact_gain(kept, q, mode), abs=1e-9)
    np.testing.assert_allclose(array, gains[0], rtol=0, atol=1e-12)
    fresh = SufficientStatistics.from_bytes(statistics.to_bytes())
    np.testing.assert_allclose(gradient, fresh.gradient(probes[0]), rtol=1e-7, atol=1e-12)
    np.testing.assert_allclose(paper, fresh.paper_gradient(probes[0]), rtol=1e-7, atol=1e-12)
    assert len(decompositions) == 2


@pytest.mark.parametrize(("mode", "m"), [("config", 1), ("atom", 4)])
def test_decomposed_anew_at_the_most_columns(mode, m, decompositions):
    dim = 40
    statistics, probe = SufficientStatistics(dim, LAMBDA, mode), cloud(1, 4, dim, seed=1)[0]
    for q in cloud(500, 4, dim):
        statistics.add(q)
    assert decompositions == []
    for number, q in enumerate(cloud(3 * dim // m, 4, dim, seed=2)):
        statistics.gain(probe)
        assert len(decompositions) == 1 + number // (1 + MAX_COLUMN_RATIO * dim // m)
        statistics.add(q)


def test_decomposed_anew_when_rounding_may_count(decompositions, monkeypatch):
    """Large cells next to an almost empty data set: right to 1e-9 with the bound; and it is the
    bound that asks.
    """
    dim, kept, probe = 30, cloud(2, 2, 30, scale=30.0), cloud(1, 2, 30, seed=1, scale=30.0)[0]

    def decomposed(tolerance):
        monkeypatch.setattr(spectrum, "TOLERANCE", tolerance)
        decompositions.clear()
        statistics, cells = SufficientStatistics(dim, LAMBDA), list(kept)
        for q in kept:
            statistics.add(q)
        for q in cloud(4, 2, dim, seed=2, scale=30.0):
            assert statistics.gain(probe) == pytest.approx(
                exact_gain(cells, probe, "atom"), abs=1e-9
            )
            statistics.add(q)
            cells.append(q)
        return len(decompositions)

    assert decomposed(TOLERANCE) > 1
    assert decomposed(np.inf) == 1


def test_a_merge_decomposes_anew(decompositions):
    left, right = SufficientStatistics(6), SufficientStatistics(6)
    for statistics, seed in ((left, 0), (right, 1)):
        for q in cloud(5, 4, 6, seed):
            statistics.add(q)
    left.entropy()
    left.merge(right)
    assert left.entropy() == pytest.approx(
        float(exact_entropy(cloud(5, 4, 6) + cloud(5, 4, 6, 1), "atom")), abs=1e-10
    )
    assert len(decompositions) == 2


def test_copies_go_their_own_ways(decompositions):
    """From one decomposition, with different cells added to each."""
    dim, kept = 20, cloud(50, 2, 20)
    first = SufficientStatistics(dim)
    for q in kept:
        first.add(q)
    first.entropy()
    second = first.copy()
    mine, others = cloud(4, 2, dim, seed=1), cloud(3, 2, dim, seed=2)
    for q in mine:
        first.add(q)
    for q in others:
        second.add(q)
    assert first.entropy() == pytest.approx(float(exact_entropy(kept + mine, "atom")), abs=1e-10)
    assert second.entropy() == pytest.approx(float(exact_entropy(kept + others, "atom")), abs=1e-10)
    assert len(decompositions) == 1


def test_factors_of_few_shifts_are_kept():
    spectra, C = grown(8, 2)
    first = spectra.shifted(1.0)
    assert spectra.shifted(1.0) is first
    for shift in range(2, 50):
        value = np.log(spectra.values + shift).sum() + spectra.shifted(shift).log_det_columns
        assert value == pytest.approx(np.linalg.slogdet(C + shift * np.eye(8))[1], abs=1e-11)
    held = [value for value in spectra.__dict__.values() if isinstance(value, dict)]
    assert max(sum(isinstance(each, Shifted) for each in kept.values()) for kept in held) <= 8


@pytest.mark.parametrize("shape", [(5, 1, 7), (5, 4, 7), (5, 7, 7), (5, 12, 7)])
@pytest.mark.parametrize("scale", [0.0, 1e-9, 1.0, 1e3, 1e7])
def test_log_det_of_stacks(shape, scale):
    """Z of any size in one stack, singular or not."""
    Z = np.random.default_rng(0).normal(size=shape)
    Z[::2] *= scale
    Z[:, -1] = Z[:, 0]  # singular, where there are two rows
    expected = [float(decimal_log_det(np.ones(shape[2]), z)) for z in Z]
    np.testing.assert_allclose(log_det(Z), expected, rtol=0, atol=1e-9)
    Z[2, 0, 0], Z[3, 0, 0] = np.nan, np.inf
    with np.errstate(invalid="ignore"):
        found = log_det(Z)
    assert not np.isfinite(found[2:4]).any()
    np.testing.assert_allclose(found[[0, 1, 4]], np.array(expected)[[0, 1, 4]], rtol=0, atol=1e-9)
