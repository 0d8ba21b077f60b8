"""Posterior variance over a target, against its definition by a Gaussian process."""

import numpy as np
import pytest

from entropy_flows.entropy.basis import KernelBasis, standardisation
from entropy_flows.entropy.variance import TargetMoments, TargetVariance

NOISE = 0.3
RNG = np.random.default_rng(0)
POINTS = RNG.normal(size=(80, 6)) * [3, 2, 1, 1, 0.5, 0.2]
BASIS = KernelBasis.drawn(POINTS, landmarks=30, relative_length=0.5)
FEATURES = BASIS.features(POINTS)
TARGET_WEIGHTS = RNG.uniform(0.1, 2, size=80)
WEIGHTS = RNG.uniform(0.5, 2, size=80)


def by_definition(known):
    """Mean posterior variance of a Gaussian process with kernel φ·φ′; what φ cannot see is left."""
    known = np.asarray(known, dtype=int)
    shares = TARGET_WEIGHTS / TARGET_WEIGHTS.sum()
    kernel = FEATURES @ FEATURES.T
    cross = kernel[:, known]
    noisy = kernel[np.ix_(known, known)] + np.diag(NOISE / WEIGHTS[known])
    explained = np.einsum("tc,ct->t", cross, np.linalg.solve(noisy, cross.T))
    return 1 - shares @ explained


def variance_of(known):
    variance = TargetVariance(TargetMoments.of(FEATURES, TARGET_WEIGHTS).matrix, NOISE)
    for index in known:
        variance.add(FEATURES[index], WEIGHTS[index])
    return variance


def test_value_is_the_mean_posterior_variance_of_a_gaussian_process():
    assert variance_of([]).value() == pytest.approx(1, abs=1e-13)
    known = RNG.permutation(80)[:30]
    for count in (1, 7, 30):
        assert variance_of(known[:count]).value() == pytest.approx(
            by_definition(known[:count]), abs=1e-12
        )


def test_gain_is_the_difference_of_two_values_and_never_negative():
    known = list(RNG.permutation(80)[:25])
    variance = variance_of(known)
    gains = variance.gains(FEATURES, WEIGHTS)
    differences = [by_definition(known) - by_definition([*known, index]) for index in range(80)]
    # a cell that is in the data set already may be added again, with its own noise
    fresh = [index for index in range(80) if index not in known]
    np.testing.assert_allclose(gains[fresh], np.array(differences)[fresh], atol=1e-12)
    assert (gains >= 0).all()


def test_cells_added_at_once_are_those_added_one_by_one():
    known = RNG.permutation(80)[:40]
    single = variance_of(known)
    joint = TargetVariance(TargetMoments.of(FEATURES, TARGET_WEIGHTS).matrix, NOISE)
    joint.add_all(FEATURES[known], WEIGHTS[known])
    assert joint.value() == pytest.approx(single.value(), abs=1e-12)
    np.testing.assert_allclose(joint.precision, single.precision, atol=1e-10)
    np.testing.assert_allclose(
        joint.gains(FEATURES, WEIGHTS), single.gains(FEATURES, WEIGHTS), atol=1e-12
    )


def test_cells_may_be_added_in_every_way_in_turn():
    known = RNG.permutation(80)[:40]
    single = variance_of(known)
    mixed = TargetVariance(TargetMoments.of(FEATURES, TARGET_WEIGHTS).matrix, NOISE)
    for index in known[:3]:
        mixed.add(FEATURES[index], WEIGHTS[index])
    mixed.add_all(FEATURES[known[3:20]], WEIGHTS[known[3:20]])
    for index in known[20:30]:
        mixed.append(FEATURES[index], WEIGHTS[index])
    twin = mixed.copy()
    for variance in (mixed, twin):
        for index in known[30:]:
            variance.add(FEATURES[index], WEIGHTS[index])
        assert variance.value() == pytest.approx(single.value(), abs=1e-12)
        np.testing.assert_allclose(variance.precision, single.precision, atol=1e-10)
        np.testing.assert_allclose(
            variance.gains(FEATURES, WEIGHTS), single.gains(FEATURES, WEIGHTS), atol=1e-12
        )


def test_cells_that_are_appended_have_the_bits_of_cells_that_are_added():
    known = RNG.permutation(80)[:40]
    appended = TargetVariance(TargetMoments.of(FEATURES, TARGET_WEIGHTS).matrix, NOISE)
    for index in known:
        appended.append(FEATURES[index], WEIGHTS[index])
    assert (appended.precision == variance_of(known).precision).all()


def test_gradient_through_the_kernel_is_the_one_of_finite_differences():
    variance = variance_of(range(20))
    point = POINTS[50] + 0.1
    derivative = variance.gradient(BASIS.features(point[None])[0], 1.4)
    gradient = BASIS.pull_back(point, derivative)

    def gain(x):
        return variance.gains(BASIS.features(x[None]), 1.4)[0]

    step = 1e-5
    numeric = [(gain(point + d) - gain(point - d)) / (2 * step) for d in step * np.eye(len(point))]
    np.testing.assert_allclose(gradient, numeric, atol=1e-9)


def test_features_reproduce_the_kernel_on_the_landmarks():
    squares = np.square(POINTS[:, None] - BASIS.landmarks).sum(axis=-1)
    kernel = np.exp(-squares / (2 * BASIS.length**2))
    np.testing.assert_allclose(FEATURES @ BASIS.features(BASIS.landmarks).T, kernel, atol=1e-7)
    assert (np.square(FEATURES).sum(axis=1) <= 1 + 1e-9).all()


def test_copies_among_the_landmarks_leave_the_basis_as_it_is():
    twice = KernelBasis.drawn(np.repeat(POINTS[:10], 2, axis=0), 20, 0.5)
    assert twice.dim == 10
    assert np.isfinite(twice.features(POINTS)).all()


def test_one_point_is_a_basis_and_none_is_refused():
    single = KernelBasis.drawn(np.zeros((1, 3)), 5, 0.5)
    assert single.features(np.zeros((1, 3))) == pytest.approx(1)
    with pytest.raises(ValueError, match="at least one cell, got none"):
        KernelBasis.drawn(np.empty((0, 3)), 5, 0.5)


def test_components_that_hardly_vary_count_little():
    centre, scale = standardisation(np.array([[0.0, 1.0, 5.0], [2.0, 1.0, 5.001]]))
    np.testing.assert_allclose(centre, [1.0, 1.0, 5.0005])
    np.testing.assert_allclose(scale, [1.0, 0.1, 0.1])


@pytest.mark.parametrize(("noise", "cells"), [(0.0, 3), (-1.0, 3), (float("nan"), 3), (0.3, 0)])
def test_nothing_to_weigh_by_is_refused(noise, cells):
    with pytest.raises(ValueError, match=r"positive number|no cells"):
        TargetVariance(TargetMoments.of(FEATURES[:cells]).matrix, noise)
