"""Herding: each choice brings the data set as near to the target as one more cell can."""

import numpy as np
import pytest
from pools import clouds, empty

from entropy_flows.entropy import CellMeans, VarianceStatistics
from entropy_flows.entropy.basis import rbf
from entropy_flows.select import DecisionStream, HerdingSelector, cell_table, make_selector
from entropy_flows.select.pool import choose

DIM = 5


def candidates(n=50, seed=0):
    return clouds(n, seed, fewest=1)


def means_of(cells):
    return CellMeans.of([each.q for each in cells])


def statistics_of(cells, pool=None, known=(), **params):
    statistics = HerdingSelector(**params).statistics(
        means_of(cells), None if pool is None else means_of(pool), None
    )
    for each in known:
        statistics.add(each.q)
    return statistics


def chosen(cells, budget, statistics, centres=None):
    stream = DecisionStream(HerdingSelector()(cells, empty(DIM), budget, centres, statistics))
    return [each.index for each in stream]


def by_trying(cells, budget, statistics):
    """Trying each candidate: distances in the kernel's space, where all cells have length 1."""
    features = statistics.basis.features(means_of(cells).means)
    mean, total = statistics.target.mean, statistics.total.copy()
    picks = []
    for _ in range(budget):
        n = statistics.n + len(picks)
        distances = [
            np.inf
            if index in picks
            else mean @ mean
            - 2 * mean @ (total + phi) / (n + 1)
            + (total @ total + 2 * total @ phi + 1) / (n + 1) ** 2
            for index, phi in enumerate(features)
        ]
        picks.append(int(np.argmin(distances)))
        total += features[picks[-1]]
    return picks


@pytest.mark.parametrize("n_known", [0, 4])
def test_the_pool_is_the_target_if_none_is_stated(n_known):
    cells = candidates()
    known = cells[:n_known]
    pool = cells[n_known:]
    statistics = statistics_of(pool, known=known)
    # each cell of the pool is a landmark: features are the kernel's
    features = statistics.basis.features(means_of(pool).means)
    points = statistics.basis.points(means_of(pool).means)
    kernel = rbf(points, points, statistics.basis.kernel.length)
    np.testing.assert_allclose(features @ features.T, kernel, atol=1e-7)
    expected = by_trying(pool, 12, statistics)
    centres = means_of(known).means if known else None
    assert chosen(pool, 12, None, centres) == expected
    assert chosen(pool, 12, statistics, centres) == expected


@pytest.mark.parametrize("mix", [0.0, 0.4])
def test_it_chooses_for_others_and_counts_what_is_there(mix):
    target = candidates(60, 3)
    pool = candidates(50, 1)
    statistics = statistics_of(target, pool, known=pool[:3], target="others.xyz", mix=mix)
    expected = by_trying(pool[3:], 15, statistics)
    assert chosen(pool[3:], 15, statistics) == expected
    assert statistics.n == 18


def test_cells_that_the_target_does_not_have_are_left():
    target = candidates(60, 3)
    strange = candidates(30, 5)
    for each in strange:
        each.q[:] += 100.0
    pool = [*strange, *candidates(30, 1)]
    assert min(chosen(pool, 20, statistics_of(target))) >= len(strange)


def test_it_follows_the_target_better_than_random_draws():
    cells = candidates(200)

    def distance(indices):
        statistics = statistics_of(cells, known=[cells[index] for index in indices])
        return statistics.distance()

    rng = np.random.default_rng(0)
    drawn = [distance(rng.permutation(200)[:20]) for _ in range(20)]
    picks = choose(make_selector("herding"), [each.q for each in cells], 20, 0).indices
    assert distance(picks) < 0.6 * min(drawn)


def test_a_pool_in_blocks_follows_the_target_too(monkeypatch):
    cells = candidates(200)
    monkeypatch.setattr(cell_table, "LARGEST_TABLE", 0)
    monkeypatch.setattr(cell_table, "BLOCK", 40)
    blocked = statistics_of(cells)
    picks = chosen(cells, 20, blocked)
    assert len(set(picks)) == 20
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(20):
        statistics = statistics_of(cells)
        for index in rng.permutation(200)[:20]:
            statistics.add(cells[index].q)
        drawn.append(statistics.distance())
    assert blocked.distance() < 0.75 * min(drawn)


def test_copies_are_not_chosen_twice():
    cells = [*candidates(10), *candidates(10)]
    picks = chosen(cells, 20, None)
    assert len(picks) == 10
    assert len({index % 10 for index in picks}) == 10


def test_the_distance_is_that_of_the_kernel_sums_and_adds_up():
    target = means_of(candidates(40, 3))
    basis = HerdingSelector().statistics(target, None, None).basis
    weights = np.random.default_rng(0).random(40)
    one_by_one = VarianceStatistics.of_target(basis, target, 0.3, weights)
    part = VarianceStatistics.of_target(basis, target, 0.3, weights)
    rest = VarianceStatistics.of_target(basis, target, 0.3, weights)
    cells = candidates(12, 1)
    for index, each in enumerate(cells):
        one_by_one.add(each.q)
        (part if index < 5 else rest).add(each.q)
    part.merge(rest)
    assert part.distance() == pytest.approx(one_by_one.distance(), abs=1e-12)
    at_once = one_by_one.for_target(one_by_one.target)
    assert at_once.distance() == one_by_one.distance()
    features = basis.features(np.concatenate([target.means, means_of(cells).means]))
    signs = np.concatenate([weights / weights.sum(), np.full(12, -1 / 12)])
    squared = signs @ (features @ features.T) @ signs
    assert one_by_one.distance() == pytest.approx(np.sqrt(squared), abs=1e-10)
    again = VarianceStatistics.from_bytes(one_by_one.to_bytes(), basis)
    assert again.distance() == one_by_one.distance()
    assert again.to_bytes() == one_by_one.to_bytes()
