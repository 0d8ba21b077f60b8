"""Rivals of the variance: each against its definition."""

from itertools import combinations

import numpy as np
import pytest
from pools import clouds, empty
from scipy.stats import chisquare

from entropy_flows.entropy import CellBasis, CellMeans, VarianceStatistics
from entropy_flows.entropy.basis import KernelBasis, rbf, standardisation
from entropy_flows.entropy.variance import TargetVariance
from entropy_flows.select import Candidate, make_selector
from entropy_flows.select.bait import kept_rows
from entropy_flows.select.direct import partition, weighted_components
from entropy_flows.select.kdpp import orthogonal_to, sample_of_k_dpp

DIM = 5


def candidates(n=50, seed=0):
    return clouds(n, seed, fewest=1)


def means_of(cells):
    return np.array([each.q.mean(axis=0) for each in cells])


def chosen(name, cells, budget, known=(), **params):
    """Indices of the choice beside known cells."""
    centres = means_of(known) if len(known) else None
    decisions = make_selector(name, **params)(cells, empty(DIM), budget, centres)
    return [each.index for each in decisions]


def kernel_of(cells, known=(), length=0.5):
    """The kernel (n, n + k) between candidates and both, with its own median distance."""
    centre, scale = standardisation(means_of(cells))
    points = (means_of(cells) - centre) / scale
    others = (means_of(known) - centre) / scale if len(known) else np.empty((0, DIM))
    everything = np.vstack([points, others])
    median = make_selector("facility").basis(points, 0).length / 0.5
    return rbf(points, everything, length * median)


@pytest.mark.parametrize("n_given", [0, 2])
def test_k_dpp_draws_sets_as_often_as_their_determinants_say(n_given):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(8, 6)) * [2, 1, 1, 0.5, 0.3, 0.2]
    given = features[:n_given]
    pool = orthogonal_to(features[n_given:], given)
    sets = list(combinations(range(len(pool)), 3))
    together = [[*range(n_given), *(n_given + i for i in each)] for each in sets]
    chance = np.array([np.linalg.det(features[each] @ features[each].T) for each in together])
    counts = dict.fromkeys(sets, 0)
    draws = 2000
    for _ in range(draws):
        counts[tuple(sorted(sample_of_k_dpp(pool, 3, rng)))] += 1
    expected = draws * chance / chance.sum()
    often = expected > 5
    assert expected[often].sum() > 0.95 * draws
    observed = np.array(list(counts.values()))[often]
    conditional = expected[often] * observed.sum() / expected[often].sum()
    assert chisquare(observed, conditional).pvalue > 1e-3


def test_k_dpp_takes_no_more_than_the_rank_and_survives_tiny_determinants():
    rng = np.random.default_rng(1)
    features = rng.normal(size=(30, 4))
    assert len(set(sample_of_k_dpp(features, 9, rng))) == 4
    # 200 eigenvalues of which products leave the range of numbers
    wide = rng.normal(size=(300, 200)) * 1e-4
    assert len(set(sample_of_k_dpp(wide, 150, rng))) == 150


@pytest.mark.parametrize("n_known", [0, 4])
def test_facility_location_takes_the_largest_gain_of_all(n_known):
    cells = candidates(300)
    known = candidates(n_known, 7)
    kernel = kernel_of(cells, known)
    picks = chosen("facility", cells, 15, known)
    for number, pick in enumerate(picks):
        columns = [*range(len(cells), len(cells) + n_known), *picks[:number]]
        likeness = kernel[:, columns].max(axis=1, initial=0.0)
        values = np.maximum(kernel[:, : len(cells)], likeness[:, None]).sum(axis=0)
        assert values[pick] >= values.max() - 1e-9


def test_direct_takes_the_middle_of_each_cluster_that_is_not_known():
    rng = np.random.default_rng(2)
    blobs = rng.normal(size=(6, DIM)) * 100
    cells = [
        Candidate(str(k), (blobs[k % 6] + rng.normal(size=DIM))[None], "atom") for k in range(120)
    ]
    picks = chosen("direct", cells, 6)
    assert {index % 6 for index in picks} == set(range(6))
    centre, scale = standardisation(means_of(cells))
    components = weighted_components((means_of(cells) - centre) / scale)
    for index in picks:
        blob = components[index % 6 :: 6]
        distances = np.linalg.norm(blob - blob.mean(axis=0), axis=1)
        assert np.argmin(distances) == index // 6
    beside = chosen("direct", cells[6:], 3, cells[:3])
    assert {index % 6 for index in beside} == {3, 4, 5}


def test_clusters_are_as_many_as_wanted_however_small_they_have_to_be():
    points = np.random.default_rng(3).normal(size=(80, 3)) * 1e-3
    clusters = partition(points, 40, 0.05)
    assert len(clusters) == 40
    assert sorted(np.concatenate(clusters)) == list(range(80))


def test_bait_removes_what_leaves_least_unknown_each_time():
    cells = CellMeans.of([each.q for each in candidates(30)])
    basis = CellBasis.drawn(cells, 400, 0.5)
    statistics = VarianceStatistics.of_target(basis, cells, 0.3)
    rows = np.random.default_rng(4).permutation(30)[:14]
    some = cells.take(rows)
    statistics.add_cells(some)
    features = basis.features(some.means)
    weights = basis.weights(some.sizes)

    def value(kept):
        variance = TargetVariance(statistics.target.matrix, 0.3)
        variance.add_all(features[kept], weights[kept])
        return variance.value()

    kept = list(range(14))
    while len(kept) > 6:
        kept.remove(min(kept, key=lambda row: value([each for each in kept if each != row])))
    assert kept_rows(statistics, some, 6) == kept


def test_bait_leaves_less_unknown_than_the_forward_choice_alone():
    cells = candidates(60, 5)
    means = CellMeans.of([each.q for each in cells])
    basis = CellBasis.drawn(means, 400, 0.5)

    def value(indices):
        statistics = VarianceStatistics.of_target(basis, means, 0.3)
        statistics.add_cells(means.take(np.array(indices)))
        return statistics.value()

    values = {name: value(chosen(name, cells, 8)) for name in ("bait", "variance", "random")}
    assert values["bait"] <= values["variance"] < values["random"]


def test_bait_fills_the_data_set_of_a_campaign_with_what_it_keeps_alone():
    cells = candidates(40)
    means = CellMeans.of([each.q for each in cells])
    basis = CellBasis.drawn(means, 400, 0.5)
    statistics = VarianceStatistics.of_target(basis, means, 0.3)
    expected = statistics.copy()
    decisions = list(make_selector("bait")(cells, empty(DIM), 7, None, statistics))
    expected.add_cells(means.take(np.array([each.index for each in decisions])))
    assert statistics.n == 7
    assert statistics.value() == pytest.approx(expected.value(), abs=1e-12)


@pytest.mark.parametrize("name", ["kdpp", "herding", "facility"])
def test_parameters_that_mean_nothing_are_refused(name):
    with pytest.raises(ValueError, match="length"):
        make_selector(name, length=0)


def test_the_length_of_a_pool_that_is_mostly_one_cell():
    """Copies that differ by rounding are copies: turned, or with their atoms in another order."""
    rng = np.random.default_rng(4)
    some = rng.normal(size=(60, 5))
    copies = some[:1] * (1 + 1e-15 * rng.normal(size=(600, 5)))
    expected = KernelBasis.drawn(np.concatenate([some, some[:1].repeat(600, 0)]), 400, 0.5).length
    assert KernelBasis.drawn(np.concatenate([some, copies]), 400, 0.5).length == pytest.approx(
        expected, rel=1e-12
    )
