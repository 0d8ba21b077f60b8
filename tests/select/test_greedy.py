"""The best of what was left over, against trying everything."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entropy_flows.entropy import MODES, SufficientStatistics
from entropy_flows.select import (
    Candidate,
    DecisionStream,
    GreedySelector,
    greedy,
    make_selector,
)

DIM = 6
ANY_GAIN = 5e-324
"""The smallest positive threshold."""


def pool(seed, size):
    rng = np.random.default_rng(seed)
    modes = rng.choice(MODES, size)
    return [
        Candidate(f"{n}", rng.normal(size=(4, DIM)) * rng.uniform(0.1, 2.0), modes[n])
        for n in range(size)
    ]


def data_set(seed=0, size=3):
    rng = np.random.default_rng([seed, 1])
    found = {mode: SufficientStatistics(DIM, mode=mode) for mode in MODES}
    for q in rng.normal(size=(size, 4, DIM)):
        for stats in found.values():
            stats.add(q)
    return found


def mixed_pool(seed, size):
    """Cells of one to five atoms; some are nearly alike."""
    rng = np.random.default_rng(seed)
    modes = rng.choice(MODES, size)
    kinds = rng.normal(size=(7, DIM))
    return [
        Candidate(
            f"{n}",
            kinds[rng.integers(7)]
            + rng.normal(size=(rng.integers(1, 6), DIM)) * 10 ** rng.uniform(-2, 0.5),
            modes[n],
        )
        for n in range(size)
    ]


def choose(candidates, statistics, wanted, threshold):
    decisions = GreedySelector(theta_min=threshold)(candidates, statistics, wanted)
    return [(decision.index, decision.candidate, decision.gain) for decision in decisions]


def by_hand(candidates, statistics, wanted, threshold):
    left, chosen = dict(enumerate(candidates)), []
    while left and len(chosen) < wanted:
        gains = {place: statistics[one.mode].gain(one.q) for place, one in left.items()}
        place = max(gains, key=lambda key: gains[key])
        if threshold is not None and gains[place] <= threshold:
            break
        chosen.append((place, gains[place]))
        for stats in statistics.values():
            stats.add(left[place].q)
        del left[place]
    return chosen


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 10_000),
    wanted=st.integers(0, 8),
    threshold=st.sampled_from([None, 0.05, 0.3, 5.0]),
)
def test_equals_trying_everything(seed, wanted, threshold):
    candidates = pool(seed, 40)
    found = choose(iter(candidates), data_set(seed), wanted, threshold)
    expected = by_hand(candidates, data_set(seed), wanted, threshold)
    assert [place for place, *_ in found] == [place for place, _ in expected]
    assert [gain for *_, gain in found] == pytest.approx([gain for _, gain in expected], abs=1e-9)
    assert all(candidates[place] is candidate for place, candidate, _ in found)


@pytest.mark.parametrize("known", [0, 1, 2, 30])
def test_equals_trying_everything_on_a_hundred_pools(known):
    """Cells of any size in either mode, from an empty data set to one of more cells than
    dimensions.
    """
    for seed in range(25):
        candidates = mixed_pool([seed, known], 16)
        found = choose(candidates, data_set(seed, known), 8, None)
        expected = by_hand(candidates, data_set(seed, known), 8, None)
        assert [place for place, *_ in found] == [place for place, _ in expected]
        assert [gain for *_, gain in found] == pytest.approx(
            [gain for _, gain in expected], abs=1e-8
        )


@pytest.mark.parametrize("mode", MODES)
def test_the_bound_never_grows(mode):
    """Equation (3)'s K of a candidate, while a data set grows by cells of any kind."""
    rng = np.random.default_rng(5)
    stats, candidates = data_set(5, 1)[mode], mixed_pool(3, 20)
    sizes = [len(each.q) if mode == "atom" else 1 for each in candidates]
    before = np.full(20, np.inf)
    for _ in range(60):
        gains = stats.gains([each.q for each in candidates])
        now = np.array(
            [
                gain - greedy.common_terms({mode: stats}, mode, m)
                for gain, m in zip(gains, sizes, strict=True)
            ]
        )
        assert (now >= -1e-10).all()
        assert (now <= before + 1e-9).all()
        before = now
        stats.add(
            rng.normal(size=(rng.integers(1, 5), DIM)) * 10 ** rng.uniform(-2, 1) + rng.normal()
        )


def test_most_of_the_pool_is_not_asked_again(monkeypatch):
    asked, compute = [], greedy.block_gains

    def counted(block, statistics):
        asked.append(len(block))
        return compute(block, statistics)

    monkeypatch.setattr(greedy, "block_gains", counted)
    monkeypatch.setattr(greedy, "BLOCK", 8)
    assert len(choose(mixed_pool(1, 2000), data_set(1, 5), 50, None)) == 50
    assert sum(asked) < 2000 + 50 * 200  # trying everything asks for 98 775


def test_says_why_it_ends():
    candidates = pool(1, 12)
    for theta, budget, words in (
        (1e6, 5, "the best of the 12 candidates left gains .*, no more than θ = 1e\\+06"),
        (None, 20, "all 12 candidates were taken, 20 were wanted"),
        (None, 5, "^$"),
        (None, None, "^$"),
    ):
        judged = DecisionStream(GreedySelector(theta_min=theta)(candidates, data_set(), budget))
        list(judged)
        assert re.search(words, judged.reason)


def test_what_is_chosen_is_in_the_statistics_and_the_pool_is_read_once():
    statistics, read = data_set(), []

    def stream():
        for candidate in pool(1, 3000):
            read.append(candidate.key)
            yield candidate

    chosen = choose(stream(), statistics, 2, ANY_GAIN)
    assert len(chosen) == 2
    assert read == [f"{n}" for n in range(3000)]
    expected = data_set()
    for _, candidate, _ in chosen:
        for stats in expected.values():
            stats.add(candidate.q)
    assert {mode: stats.entropy() for mode, stats in statistics.items()} == pytest.approx(
        {mode: stats.entropy() for mode, stats in expected.items()}
    )


def test_copies_of_the_best_are_not_chosen_twice():
    one = pool(2, 1)[0]
    copies = [Candidate(f"{n}", one.q, "atom") for n in range(30)]
    statistics = data_set(size=40)
    gain = statistics["atom"].gain(one.q)
    assert len(choose(copies, statistics, 30, 0.9 * gain)) < 5


def test_nothing_to_choose_from():
    assert choose([], data_set(), 3, ANY_GAIN) == []
    assert choose(pool(0, 5), data_set(), 0, ANY_GAIN) == []


def test_an_empty_data_set_takes_its_first_and_no_budget_means_all_that_gains():
    statistics = {mode: SufficientStatistics(DIM, mode=mode) for mode in MODES}
    candidates = pool(4, 60)
    found = choose(candidates, statistics, None, ANY_GAIN)
    first = {mode: SufficientStatistics(DIM, mode=mode) for mode in MODES}
    assert (
        len(choose([Candidate("0", candidates[0].q, "config")], first, None, ANY_GAIN)) == 1
    )  # its gain is 0
    assert statistics["config"].n == len(found)
    taken = {place for place, *_ in found}
    left = [candidate for place, candidate in enumerate(candidates) if place not in taken]
    assert left
    assert max(statistics[candidate.mode].gain(candidate.q) for candidate in left) <= 0.0


def test_without_a_limit_the_whole_budget_is_spent_at_a_loss_if_need_be():
    rng = np.random.default_rng(3)
    wide, narrow = rng.normal(size=(6, 1, 4)) * 10, rng.normal(size=(30, 1, 4))
    cells = [Candidate(str(k), q, "atom") for k, q in enumerate([*wide, *narrow])]

    def chosen(theta):
        statistics = {"atom": SufficientStatistics(4, 1e-3, "atom")}
        return list(make_selector("greedy", theta_min=theta)(cells, statistics, 30))

    limited, unlimited = chosen(1e-3), chosen(None)
    assert len(limited) < len(unlimited) == 30
    assert [each.index for each in unlimited[: len(limited)]] == [each.index for each in limited]
    assert unlimited[len(limited)].gain <= 1e-3
