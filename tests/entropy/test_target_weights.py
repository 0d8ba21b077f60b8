"""Labelled cells count as the target has them, not as they were chosen."""

import numpy as np

from entropy_flows.entropy import CellBasis, CellMeans
from entropy_flows.entropy.target_weights import LIMIT, target_weights

RNG = np.random.default_rng(2)


def clouds(first, second):
    """Cells of two clouds far from each other, so many of each."""
    means = RNG.normal(size=(first + second, 4)) * 0.3
    means[first:] += 3
    return CellMeans(means, np.ones(first + second))


def test_weighted_cells_stand_for_the_target():
    """Of the labels a third is in the first cloud, of the target two thirds."""
    target, cells = clouds(200, 100), clouds(20, 40)
    basis = CellBasis.drawn(target, 300, 0.5)
    weights = target_weights(basis, cells, target)
    assert weights.mean() == 1.0 or abs(weights.mean() - 1) < 1e-12
    assert abs(weights[:20].sum() / weights.sum() - 2 / 3) < 0.1


def test_labels_of_the_targets_own_distribution_weigh_about_the_same():
    target = clouds(150, 150)
    basis = CellBasis.drawn(target, 300, 0.5)
    weights = target_weights(basis, target, target)
    np.testing.assert_allclose(weights, 1.0, atol=1e-9)


def test_no_cell_is_lost_and_none_decides_alone():
    target, cells = clouds(100, 0), clouds(5, 50)
    basis = CellBasis.drawn(clouds(100, 100), 200, 0.5)
    weights = target_weights(basis, cells, target)
    assert weights.max() / weights.min() <= LIMIT**2 * (1 + 1e-12)
    assert weights.min() > 0
    shares = np.where(np.arange(100) == 0, 1.0, 0.0)
    assert np.isfinite(target_weights(basis, cells, target, shares)).all()
