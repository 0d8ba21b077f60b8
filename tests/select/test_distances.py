"""Selectors that go by distance and by uncertainty, against their definitions."""

import numpy as np
import pytest
from pools import empty

from entropy_flows.entropy.basis import FLOOR
from entropy_flows.select import (
    SELECTORS,
    Candidate,
    CommitteeSelector,
    DecisionStream,
    FarthestSelector,
    HybridSelector,
    KCentresSelector,
    KMeansSelector,
    Verdict,
    make_selector,
)
from entropy_flows.select.pool import choose
from entropy_flows.select.space import FeatureSpace

DIM = 5
RIVALS = ["bait", "facility", "herding", "kdpp", "direct"]
INSTANCES = [
    FarthestSelector(),
    KCentresSelector(),
    KMeansSelector(),
    KMeansSelector(clusters=3),
    CommitteeSelector(),
    HybridSelector(),
    HybridSelector(alpha=0.0),
    HybridSelector(alpha=1.0),
    *map(make_selector, RIVALS),
]
ids = [repr(each) for each in INSTANCES]


def candidates(n=60, seed=0):
    rng = np.random.default_rng(seed)
    q = rng.normal(size=(n, 3, DIM)) * [10, 1, 1, 0.1, 1] + rng.normal(size=(n, 1, DIM)) * [
        30,
        3,
        3,
        0,
        3,
    ]
    return [
        Candidate(f"{k}", q[k], "atom" if k % 2 else "config", float(rng.exponential()))
        for k in range(n)
    ]


def standard(cells, others=()):
    """Standardised points by the definition."""
    means = np.array([each.q.mean(axis=0) for each in cells])
    more = np.array([q.mean(axis=0) for q in others]).reshape(-1, DIM)
    spread = np.maximum(means.std(axis=0), FLOOR * means.std(axis=0).max())
    return (means - means.mean(axis=0)) / spread, (more - means.mean(axis=0)) / spread


def run(selector, cells, budget, centres=None, statistics=None):
    judged = DecisionStream(
        selector(cells, empty(DIM) if statistics is None else statistics, budget, centres)
    )
    decisions = list(judged)
    assert all(
        each.verdict is Verdict.ACCEPTED and each.candidate is cells[each.index]
        for each in decisions
    )
    return [each.index for each in decisions], judged.reason


def covering(points, chosen, centres):
    every = np.vstack([centres, points[chosen]])
    return np.linalg.norm(points[:, None] - every, axis=2).min(axis=1)


@pytest.mark.parametrize("selector", INSTANCES, ids=ids)
@pytest.mark.parametrize("known", [0, 4])
def test_as_many_different_ones_as_wanted_and_all_in_the_statistics(selector, known):
    cells, statistics = candidates(), empty(DIM)
    centres = np.array(
        [q.mean(axis=0) for q in np.random.default_rng(1).normal(size=(known, 3, DIM))]
    )
    chosen, reason = run(selector, cells, 20, centres if known else None, statistics)
    assert (len(chosen), len(set(chosen)), reason) == (20, 20, "")
    assert (statistics["config"].n, statistics["atom"].n) == (20, 60)
    assert (chosen, "") == run(selector, cells, 20, centres if known else None)
    assert run(selector, cells, 0) == ([], "")
    assert run(selector, [], 5) == ([], "all 0 candidates were taken, 5 were wanted")
    everything, reason = run(selector, cells, 100)
    assert sorted(everything) == list(range(60))
    assert reason == "all 60 candidates were taken, 100 were wanted"
    assert sorted(run(selector, cells, None)[0]) == list(range(60))


@pytest.mark.parametrize("known", [0, 5])
def test_farthest_is_the_farthest_each_time(known):
    cells = candidates(80, 3)
    others = list(np.random.default_rng(2).normal(size=(known, 3, DIM)) * 5)
    points, centres = standard(cells, others)
    expected: list[int] = [] if known else [0]
    while len(expected) < 30:
        expected.append(int(np.argmax(covering(points, expected, centres))))
    means = np.array([q.mean(axis=0) for q in others]) if known else None
    assert run(FarthestSelector(), cells, 30, means)[0] == expected


@pytest.mark.parametrize("known", [0, 5])
def test_kcentres_covers_at_least_as_well_as_farthest_and_stays_within_twice_the_best(known):
    for seed in range(30):
        cells = candidates(40, seed)
        others = list(np.random.default_rng(seed).normal(size=(known, 3, DIM)) * 5)
        means = np.array([q.mean(axis=0) for q in others]) if known else None
        points, centres = standard(cells, others)
        radius = {
            type(each): covering(points, run(each, cells, 6, means)[0], centres).max()
            for each in (FarthestSelector(), KCentresSelector())
        }
        assert radius[KCentresSelector] <= radius[FarthestSelector] + 1e-12
        # seven points further apart than r cannot share six centres of radius r/2
        spread = run(FarthestSelector(), cells, 7, means)[0]
        apart = np.linalg.norm(points[spread][:, None] - points[spread], axis=2)
        if not known:
            assert radius[KCentresSelector] <= apart[~np.eye(7, dtype=bool)].min() + 1e-12


def test_kcentres_takes_the_middle_and_farthest_the_edge():
    blobs = np.random.default_rng(0).normal(size=(4, DIM)) * 100
    cells = [
        Candidate(str(k), (blobs[k % 4] + np.random.default_rng(k).normal(size=DIM))[None], "atom")
        for k in range(200)
    ]
    points, _ = standard(cells)
    middles = np.array([points[k::4].mean(axis=0) for k in range(4)])
    off = {}
    for selector in (FarthestSelector(), KCentresSelector()):
        chosen = run(selector, cells, 4)[0]
        assert {index % 4 for index in chosen} == {0, 1, 2, 3}
        off[type(selector)] = np.mean(
            [np.linalg.norm(points[index] - middles[index % 4]) for index in chosen]
        )
    assert off[KCentresSelector] < 0.8 * off[FarthestSelector]


def test_kmeans_takes_one_of_each_cluster_then_the_farthest_of_it():
    blobs = np.random.default_rng(0).normal(size=(5, DIM)) * 100
    cells = [
        Candidate(str(k), (blobs[k % 5] + np.random.default_rng(k).normal(size=DIM))[None], "atom")
        for k in range(100)
    ]
    chosen, _ = run(KMeansSelector(clusters=5), cells, 10)
    assert (
        {index % 5 for index in chosen[:5]} == {index % 5 for index in chosen[5:]} == set(range(5))
    )
    points, _ = standard(cells)
    for number in range(5, 10):
        distance = covering(points, chosen[:number], np.empty((0, DIM)))
        assert distance[chosen[number]] == pytest.approx(distance[chosen[number] % 5 :: 5].max())


def test_committee_takes_the_most_uncertain_and_hybrid_both():
    cells = candidates(50, 4)
    uncertain = np.array([each.uncertainty for each in cells])
    assert run(CommitteeSelector(), cells, 9)[0] == np.argsort(-uncertain)[:9].tolist()
    assert run(HybridSelector(alpha=1.0), cells, 9)[0] == np.argsort(-uncertain)[:9].tolist()
    means = np.zeros((1, DIM))
    assert (
        run(HybridSelector(alpha=0.0), cells, 9, means)[0]
        == run(FarthestSelector(), cells, 9, means)[0]
    )
    points, centres = standard(cells, [means])
    expected: list[int] = []
    while len(expected) < 9:
        distance = covering(points, expected, centres)
        scaled = (uncertain - uncertain.min()) / np.ptp(uncertain)
        score = 0.6 * scaled + 0.4 * distance / distance.max()
        score[expected] = -1
        expected.append(int(np.argmax(score)))
    assert run(HybridSelector(), cells, 9, means)[0] == expected


@pytest.mark.parametrize("selector", [CommitteeSelector(), HybridSelector()], ids=repr)
def test_uncertainties_that_are_not_there(selector):
    cells = candidates(5)
    for wrong in (None, float("nan")):
        cells[3] = Candidate("odd one", cells[3].q, "atom", wrong)
        with pytest.raises(
            ValueError,
            match=r"'odd one' has uncertainty .*; selector .* needs a number for each, from a",
        ):
            run(selector, cells, 2)


@pytest.mark.parametrize(
    "selector", [each for each in INSTANCES if not isinstance(each, CommitteeSelector)], ids=repr
)
@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("rounding", [0.0, 1e-15, 1e-9])
def test_a_pool_of_copies_alone(selector, known, rounding):
    one = candidates(1)[0]
    turned = 1 + rounding * np.random.default_rng(0).normal(size=(20, *one.q.shape))
    copies = [Candidate(str(k), one.q * turned[k], "atom", 0.5) for k in range(20)]
    chosen, reason = run(selector, copies, 5, one.q.mean(axis=0)[None] if known else None)
    assert len(chosen) == (0 if known else 1)
    left = 20 if known else 19
    assert reason == f"the other {left} candidates are copies of cells that were taken or known"


def test_distances_are_those_of_all_pairs_however_many_points_are_skipped(monkeypatch):
    rng = np.random.default_rng(0)
    means = rng.normal(size=(500, 8))
    space = FeatureSpace(means.copy(), means[:3] + 1)
    every = [*((means[:3] + 1 - means.mean(axis=0)) / means.std(axis=0))]
    for index in rng.permutation(500)[:100]:
        space.add(int(index))
        every.append(space.points[index])
        apart = np.linalg.norm(space.points[:, None] - np.array(every), axis=2)
        np.testing.assert_allclose(space.nearest, apart.min(axis=1), atol=1e-8)
    assert (
        np.take_along_axis(apart, space.owner[:, None], 1)[:, 0] <= apart.min(axis=1) + 1e-8
    ).all()
    with pytest.raises(ValueError, match="data set's fingerprints have length 4, the pool's 8"):
        FeatureSpace(means, np.zeros((2, 4)))


def test_every_name_makes_its_selector():
    for name in SELECTORS.builtin:
        assert callable(make_selector(name))
    assert make_selector("hybrid", alpha=0.2) == HybridSelector(alpha=0.2)
    assert make_selector("kmeans", clusters=4) == KMeansSelector(clusters=4)
    assert {name for name in SELECTORS.builtin if make_selector(name).needs_committee} == {
        "committee",
        "hybrid",
    }


@pytest.mark.parametrize(
    "name",
    [
        "logdet",
        "greedy",
        "farthest",
        "kcentres",
        "kmeans",
        "committee",
        "hybrid",
        "variance",
        "random",
        *RIVALS,
    ],
)
def test_what_is_known_is_not_chosen_again(name):
    rng = np.random.default_rng(0)
    prints = [rng.normal(size=(4, DIM)) * 1.3**k for k in range(40)]
    selector = make_selector(name)
    known, uncertainty = list(range(20)), rng.exponential(size=40)
    found = choose(selector, prints, 6, 3, in_dataset=known, uncertainty=uncertainty)
    assert len(set(found.indices)) == 6
    assert min(found.indices) >= 20
    assert found.reason == ""
    assert found == choose(selector, prints, 6, 3, in_dataset=known, uncertainty=uncertainty)
    with pytest.raises(ValueError, match="the pool has 40 cells, 20 of them left; 21 are wanted"):
        choose(selector, prints, 21, 3, in_dataset=known)
