"""The filter against loops that judge one by one; that it streams."""

import gc
import itertools
import tracemalloc

import numpy as np
import pytest
from pools import LAMBDA, by_hand, empty, one_by_one, pool

from entropy_flows.select import (
    Candidate,
    LogDetSelector,
    RandomSelector,
    Verdict,
    logdet,
    make_selector,
)

DIM = 5


@pytest.mark.parametrize("budget", [None, 1000, 12, 1, 0])
@pytest.mark.parametrize("seed", range(3))
def test_equals_the_definition(seed, budget):
    candidates, statistics = pool(seed=seed), empty()
    decisions = list(LogDetSelector(theta_min=0.1, near_factor=0.2)(candidates, statistics, budget))
    expected, kept = by_hand(candidates, 0.1, 0.2, budget)
    assert [(d.index, str(d.verdict)) for d in decisions] == [
        (index, verdict) for index, verdict, _ in expected
    ]
    assert all(d.candidate is candidates[d.index] for d in decisions)
    np.testing.assert_allclose(
        [d.gain for d in decisions], [gain for *_, gain in expected], atol=1e-8
    )
    if budget in (None, 1000):
        assert {str(d.verdict) for d in decisions} == {"accepted", "near miss", "rejected"}
    else:
        assert sum(d.verdict is Verdict.ACCEPTED for d in decisions) == budget
    for mode, stats in statistics.items():  # whichever mode found it, an accepted cell enters both
        assert stats.n == len(kept[mode])
        if stats.n:
            np.testing.assert_allclose(stats.mean, kept[mode].mean(axis=0), atol=1e-12)
            covariance = np.cov(kept[mode].T, bias=True) + LAMBDA * np.eye(DIM)
            np.testing.assert_allclose(stats.covariance(), covariance, atol=1e-12)


@pytest.mark.parametrize("theta", [1e-9, 0.02, 0.3])
@pytest.mark.parametrize("largest", [1, 3, 256])
def test_blocks_judge_as_one_by_one(largest, theta, monkeypatch):
    """Verdicts, gains and the statistics to the last bit, however many are accepted and however
    large the blocks.
    """
    monkeypatch.setattr(logdet, "LARGEST_BLOCK", largest)
    monkeypatch.setattr(logdet, "SMALLEST_BLOCK", min(largest, logdet.SMALLEST_BLOCK))
    candidates, statistics, single = pool(700, dim=12), empty(12), empty(12)
    decisions = list(LogDetSelector(theta_min=theta, near_factor=0.5)(iter(candidates), statistics))
    expected = list(one_by_one(candidates, single, theta, 0.5))
    assert [d.index for d in decisions] == list(range(700))
    assert [str(d.verdict) for d in decisions] == [verdict for verdict, _ in expected]
    np.testing.assert_allclose(
        [d.gain for d in decisions], [gain for _, gain in expected], rtol=0, atol=1e-12
    )
    for mode in single:
        assert statistics[mode].checksum() == single[mode].checksum()


def test_thresholds_are_exclusive():
    """ΔH > θ accepts, θ ≥ ΔH > fθ is near, the rest is out: at the very gain of the candidate."""
    statistics = empty()
    for other in pool()[:3]:
        for stats in statistics.values():
            stats.add(other.q)
    candidate = max(pool()[3:], key=lambda candidate: statistics[candidate.mode].gain(candidate.q))
    gain = statistics[candidate.mode].gain(candidate.q)
    assert gain > 0
    below, above = np.nextafter(gain, 0), np.nextafter(gain, np.inf)

    def verdict(theta, factor):
        copies = {mode: stats.copy() for mode, stats in statistics.items()}
        (decision,) = LogDetSelector(theta_min=theta, near_factor=factor)([candidate], copies, 1)
        assert copies["atom"].n == statistics["atom"].n + (decision.verdict == "accepted") * len(
            candidate.q
        )
        return decision.verdict

    assert verdict(below, 0.5) is Verdict.ACCEPTED
    assert verdict(gain, 0.5) is Verdict.NEAR_MISS
    assert verdict(2 * gain, 0.5) is Verdict.REJECTED
    assert verdict(2 * below, 0.5) is Verdict.NEAR_MISS
    assert verdict(above, 1.0) is Verdict.REJECTED


@pytest.mark.parametrize("mode", ["atom", "config"])
@pytest.mark.parametrize("n_atoms", [1, 3])
def test_an_empty_data_set_takes_its_first_candidate(mode, n_atoms):
    q = np.random.default_rng(0).normal(size=(n_atoms, DIM))
    first, statistics = Candidate("first", q, mode), empty()
    decisions = list(LogDetSelector(theta_min=1e3, near_factor=0.5)([first], statistics, 5))
    assert [d.verdict for d in decisions] == [Verdict.ACCEPTED]
    if mode == "config" or n_atoms == 1:
        assert decisions[0].gain == pytest.approx(0, abs=1e-9)
    assert [statistics["atom"].n, statistics["config"].n] == [n_atoms, 1]
    (again,) = LogDetSelector(theta_min=1e3, near_factor=0.5)([first], statistics, 5)
    assert again.verdict is Verdict.REJECTED


def test_more_of_the_same_is_rejected():
    """Adding what is there moves the covariance by the drift of N alone."""
    rows = np.random.default_rng(0).normal(size=(8, DIM))
    candidates = [Candidate(str(number), rows, "atom") for number in range(3)]
    decisions = LogDetSelector(theta_min=1e-3, near_factor=0.5)(candidates, empty(), 9)
    assert [d.verdict for d in decisions] == ["accepted", "rejected", "rejected"]


def test_an_accepted_candidate_is_in_the_statistics_when_it_is_told():
    statistics, accepted = empty(), 0
    for decision in LogDetSelector(theta_min=0.1, near_factor=0.2)(pool(), statistics):
        accepted += decision.verdict is Verdict.ACCEPTED
        assert statistics["config"].n == accepted
    assert accepted > 3


@pytest.mark.parametrize("selector", [LogDetSelector(theta_min=1e-3), RandomSelector()])
def test_reads_no_further_than_it_must(selector):
    """An endless stream ends with the budget, after no more than a block beyond the last that was
    judged.
    """
    read, candidates = [], pool(300)

    def endless():
        for number in itertools.count():
            read.append(number)
            yield candidates[number % 300]

    decisions = selector(endless(), empty(), 20)
    assert read == []
    judged = [decision.index for decision in decisions]
    assert judged == list(range(len(judged)))
    assert len(judged) <= len(read) <= len(judged) + logdet.LARGEST_BLOCK
    assert list(selector(endless(), empty(), 0)) == []


def test_no_candidates():
    for selector in (LogDetSelector(), RandomSelector()):
        assert list(selector([], empty(), 5)) == []


@pytest.mark.parametrize("selector", [LogDetSelector(), RandomSelector()])
def test_a_mode_without_statistics(selector):
    wrong = Candidate("odd one", np.ones((2, DIM)), "atoms")
    with pytest.raises(
        ValueError,
        match=r"'odd one' has mode 'atoms'; there are statistics of \['atom', 'config'\]",
    ):
        list(selector([wrong], empty()))


def peak(count):
    """Most memory (bytes) that judging so many candidates took; most are alike, a few are
    accepted.
    """
    rng, statistics = np.random.default_rng(0), empty()
    usual = rng.normal(size=(64, 2, DIM))
    for stats in statistics.values():
        for q in usual:
            stats.add(q)

    def stream():
        for number in range(count):
            q = usual[number % 64] + (5.0 if number % 5000 == 7 else 0.0)
            yield Candidate(str(number), q, "atom" if number % 2 else "config")

    gc.collect()
    tracemalloc.start()
    try:
        found = [0, 0]
        for decision in LogDetSelector(theta_min=0.05)(stream(), statistics):
            found[decision.verdict is Verdict.ACCEPTED] += 1
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sum(found) == count
    assert 0 < found[1] <= count // 1000
    return most


def test_memory_does_not_grow_with_the_pool():
    small, large = peak(5_000), peak(30_000)
    assert large < 3 * 2**20
    assert abs(large - small) < 2**17


def test_order_of_judging():
    """Drawn as ever, so that campaigns go on as they began."""
    draw = lambda params, n=60: params.judging_order(n, np.random.default_rng([42, 3, n]))  # noqa: E731
    shuffled = np.random.default_rng([42, 3, 60]).permutation(60).tolist()
    assert draw(LogDetSelector(order="explored")) == list(range(60))
    assert draw(LogDetSelector()) == draw(LogDetSelector(order="shuffled")) == shuffled
    assert draw(make_selector("random")) == shuffled
    assert draw(LogDetSelector(), 0) == []


def test_parameters_make_their_selector():
    chosen = make_selector("logdet", theta_min=0.2, near_factor=0.1, order="explored")
    assert chosen == LogDetSelector(theta_min=0.2, near_factor=0.1, order="explored")
    assert make_selector("random") == RandomSelector()
    for wrong in ({"theta_min": 0}, {"near_factor": 1.5}, {"max_labels": 0}, {"selector": "best"}):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))}"):
            make_selector(**{"selector": "logdet", **wrong})
