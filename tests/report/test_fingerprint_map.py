"""Coordinates of cells in the space of their mean fingerprints."""

import numpy as np
import pytest

from entropy_flows.entropy import SufficientStatistics
from entropy_flows.evaluate import coverage
from entropy_flows.report.fingerprint_map import (
    check_umap,
    fingerprint_map,
    novelty,
    principal_components,
)

REGULARIZATION = 1e-3


def test_principal_components_are_those_of_a_decomposition():
    rng = np.random.default_rng(0)
    means = rng.normal(size=(30, 6)) * [3.0, 2.0, 1.0, 0.5, 0.1, 0.0]
    points, shares = principal_components(means)
    centred = means - means.mean(0)
    _, sizes, axes = np.linalg.svd(centred, full_matrices=False)
    expected = centred @ axes[:2].T
    np.testing.assert_allclose(np.abs(points), np.abs(expected), atol=1e-10)
    np.testing.assert_allclose(shares, (sizes**2 / (sizes**2).sum())[:2])
    assert principal_components(means[:1])[1] == (0.0, 0.0)
    assert not principal_components(np.zeros((3, 4)))[0].any()


@pytest.mark.parametrize("n", [2, 5, 40])
def test_novelty_is_the_leverage_by_the_other_cells(n):
    rng = np.random.default_rng(n)
    means = rng.normal(size=(n, 8)) * [3, 2, 1, 1, 0.5, 0.1, 0.01, 0]
    others = rng.normal(size=(4, 8)) * 2
    others[:, -1] = 0
    statistics = SufficientStatistics(8, REGULARIZATION, "config")
    for mean in means:
        statistics.add(mean[None])
    expected = [statistics.leverages_by_others(mean[None])[0] for mean in means]
    expected += [statistics.leverages(other[None])[0] for other in others]
    np.testing.assert_allclose(novelty(means, others, REGULARIZATION), np.sqrt(expected), rtol=1e-8)


def test_one_cell_has_no_novelty_and_other_cells_follow_the_data_set():
    means = np.random.default_rng(3).normal(size=(6, 4))
    assert np.isnan(novelty(means[:1], means[1:], REGULARIZATION)).all()
    placed = fingerprint_map(means[:4], means[4:], REGULARIZATION)
    np.testing.assert_array_equal(placed.components, principal_components(means)[0])
    assert placed.novelty.shape == (6,)
    assert placed.umap is None


def test_umap_that_is_not_there_is_asked_for_by_its_name(monkeypatch):
    monkeypatch.setattr(coverage, "has_umap", lambda: False)
    with pytest.raises(ValueError, match=r"--umap needs umap-learn: pip install .*\[umap\]"):
        check_umap()
