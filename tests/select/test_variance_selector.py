"""The selector of least posterior variance, against trying every candidate each time."""

import numpy as np
import pytest
from pools import clouds, empty

from entropy_flows.entropy import CellMeans
from entropy_flows.entropy.basis import KernelBasis, standardisation
from entropy_flows.entropy.variance import TargetMoments, TargetVariance
from entropy_flows.select import (
    Candidate,
    DecisionStream,
    VarianceSelector,
    cell_table,
    make_selector,
)
from entropy_flows.select.pool import choose

DIM = 5


def candidates(n=70, seed=0):
    return clouds(n, seed, fewest=2)


def chosen(selector, cells, budget, centres=None, statistics=None):
    stream = DecisionStream(selector(cells, statistics or empty(DIM), budget, centres))
    return [each.index for each in stream], stream.reason


def by_trying(cells, budget, length=0.5, noise=0.3, by_size=True, known=()):
    """The choice by computing V anew for each candidate, and its V after each pick."""
    means = np.array([each.q.mean(axis=0) for each in cells])
    centre, scale = standardisation(means)
    points = (means - centre) / scale
    basis = KernelBasis.drawn(points, 400, length)
    features = basis.features(points)
    sizes = np.array([len(each.q) for each in cells]) / np.mean([len(each.q) for each in cells])
    weights = sizes if by_size else np.ones(len(cells))

    def value(indices):
        variance = TargetVariance(TargetMoments.of(features).matrix, noise)
        if len(known):
            known_means = np.array([q.mean(axis=0) for q in known])
            known_weight = np.mean([len(q) for q in known]) / np.mean([len(c.q) for c in cells])
            known_features = basis.features((known_means - centre) / scale)
            variance.add_all(known_features, known_weight if by_size else 1.0)
        if indices:
            variance.add_all(features[indices], weights[indices])
        return variance.value()

    picks = []
    for _ in range(budget):
        left = [index for index in range(len(cells)) if index not in picks]
        picks.append(min(left, key=lambda index: value([*picks, index])))
    return picks


@pytest.mark.parametrize("by_size", [True, False])
def test_choice_is_that_of_trying_every_candidate(by_size):
    cells = candidates()
    picks, reason = chosen(VarianceSelector(by_size=by_size), cells, 15)
    assert picks == by_trying(cells, 15, by_size=by_size)
    assert reason == ""


def test_what_is_known_counts():
    cells = candidates()
    known = [each.q for each in cells[:10]]
    statistics = empty(DIM)
    for q in known:
        statistics["atom"].add(q)
    means = np.array([q.mean(axis=0) for q in known])
    picks, _ = chosen(VarianceSelector(), cells[10:], 8, means, statistics)
    assert picks == by_trying(cells[10:], 8, known=known)
    assert picks != by_trying(cells[10:], 8)


def test_copies_are_not_taken_again():
    cells = candidates(20)
    pool = [*cells, *cells]
    picks, reason = chosen(VarianceSelector(), pool, 40)
    assert len(picks) == 20
    assert len({index % 20 for index in picks}) == 20
    assert "other 20 candidates are copies" in reason


def test_cells_of_the_data_set_are_not_taken():
    cells = candidates(20)
    known = np.array([each.q.mean(axis=0) for each in cells[:5]])
    picks, _ = chosen(VarianceSelector(), cells, 20, known)
    assert sorted(picks) == list(range(5, 20))


def test_first_pick_stands_for_the_crowd_and_not_for_the_edge():
    rng = np.random.default_rng(3)
    crowd = [Candidate(f"c{k}", rng.normal(size=(4, DIM)) * 0.3, "atom") for k in range(30)]
    outlier = Candidate("outlier", 50 + rng.normal(size=(4, DIM)), "atom")
    picks, _ = chosen(VarianceSelector(), [outlier, *crowd], 1)
    assert picks[0] != 0


def test_pool_may_be_empty_and_a_single_cell():
    assert chosen(VarianceSelector(), [], 3)[0] == []
    assert chosen(VarianceSelector(), candidates(1), 3)[0] == [0]


def test_it_has_a_name_and_refuses_values_that_mean_nothing():
    selector = make_selector("variance", noise=1.0)
    assert isinstance(selector, VarianceSelector)
    assert selector.n_landmarks(50) == 400
    assert selector.n_landmarks(300) == 600
    with pytest.raises(ValueError, match="noise"):
        make_selector("variance", noise=0)


def values(selector, cells, budget, statistics):
    """Number of picks, and V after them."""
    picks = [
        each.index for each in DecisionStream(selector(cells, empty(DIM), budget, None, statistics))
    ]
    assert len(set(picks)) == len(picks)
    return len(picks), statistics.value()


@pytest.mark.parametrize("is_sorted", [True, False])
def test_a_pool_in_blocks_is_learned_as_well_as_at_once(monkeypatch, is_sorted):
    cells = candidates(600, seed=4)
    if is_sorted:
        cells.sort(key=lambda each: each.q.mean())
    selector = VarianceSelector(landmarks=100)
    target = CellMeans.of([each.q for each in cells])
    count, whole = values(selector, cells, 40, selector.statistics(target, None, 40))
    monkeypatch.setattr(cell_table, "LARGEST_TABLE", 0)
    monkeypatch.setattr(cell_table, "BLOCK", 100)
    in_blocks, divided = values(selector, cells, 40, selector.statistics(target, None, 40))
    drawn = selector.statistics(target, None, 40)
    drawn.add_cells(target.take(np.random.default_rng(0).permutation(600)[:40]))
    assert count == in_blocks == 40
    assert divided < whole + 0.1 * (drawn.value() - whole)


def test_what_is_chosen_follows_the_target():
    cells = candidates(120, seed=6)
    means = CellMeans.of([each.q for each in cells])
    rare = means.take(slice(90, 120))
    selector = make_selector("variance", target="md.xyz")
    statistics = selector.statistics(rare, means, 10)
    picks = [
        each.index for each in DecisionStream(selector(cells, empty(DIM), 10, None, statistics))
    ]
    assert min(picks) >= 84
    assert statistics.n == 10
    with pytest.raises(ValueError, match=r"target 'md\.xyz' needs its cells"):
        chosen(selector, cells, 3)


def test_a_mixture_is_the_sum_of_its_parts():
    cells = CellMeans.of([each.q for each in candidates(100)])
    target, pool = cells.take(slice(0, 20)), cells.take(slice(20, 100))
    half = make_selector("variance", target="plain", mix=0.5)
    members, weights = half.mixed(target, pool)
    assert len(members.means) == 40
    assert weights[:20].sum() == pytest.approx(0.5)
    assert weights[20:].sum() == pytest.approx(0.5)
    assert half.mixed(target, None)[0] is target
    with pytest.raises(ValueError, match="target is the pool itself"):
        make_selector("variance", target="pool", mix=0.5)


def test_it_ends_where_no_label_is_worth_it():
    picks, reason = chosen(VarianceSelector(smallest_gain=0.02), candidates(), 70)
    assert 0 < len(picks) < 20
    assert reason.endswith("off what is unknown, no more than 2 %")


def test_candidates_that_are_means_weigh_as_their_cells():
    cells = candidates(40)
    means = [
        Candidate(each.key, each.q.mean(axis=0, keepdims=True), "atom", None, len(each.q))
        for each in cells
    ]
    assert chosen(VarianceSelector(), means, 8) == chosen(VarianceSelector(), cells, 8)


def test_a_choice_from_arrays_knows_the_cells_that_it_has():
    cells = [each.q for each in candidates(50)]
    first = choose(VarianceSelector(), cells, 6, 3).indices
    more = choose(VarianceSelector(), cells, 6, 3, in_dataset=first).indices
    assert not set(first) & set(more)
    rare = CellMeans.of(cells[-8:])
    rule = make_selector("variance", target="md.xyz")
    assert min(choose(rule, cells, 4, 3, target=rare).indices) >= 35
    with pytest.raises(ValueError, match=r"target 'md\.xyz' needs its cells"):
        choose(rule, cells, 4, 3)
