"""The filter against a loop that recomputes every determinant from all vectors."""

import numpy as np
import pytest
from pydantic import ValidationError

from entropy_flows.entropy import SufficientStatistics
from entropy_flows.select import Candidate, LogDetSelector, RandomSelector, SelectParams, Verdict, make_selector

DIM, LAMBDA = 5, 1e-3


def pool(n=60, seed=0):
    """Cells of one to six atoms, most of them much like one another, in either mode."""
    rng = np.random.default_rng(seed)
    candidates = []
    for number in range(n):
        spread = rng.choice([0.02, 0.3, 1.0])
        q = np.array([3.0, 2.0, 1.0, 0.5, 0.2]) + spread * rng.normal(size=(rng.integers(1, 7), DIM))
        candidates.append(Candidate(f"cell-{number}", q, str(rng.choice(["atom", "config"]))))
    return candidates


def empty():
    return {mode: SufficientStatistics(DIM, LAMBDA, mode) for mode in ("atom", "config")}


def by_hand(candidates, order, theta, factor, budget):
    """(index, verdict, gain) of each, from the definition; the first cell of an empty set is let in."""
    kept = {"atom": np.empty((0, DIM)), "config": np.empty((0, DIM))}

    def entropy(rows):
        scatter = np.cov(rows.T, bias=True) if len(rows) else np.zeros((DIM, DIM))
        return np.linalg.slogdet(scatter + LAMBDA * np.eye(DIM))[1]

    decisions = []
    for index in order:
        if budget == 0:
            decisions.append((index, "spent", np.nan))
            continue
        q, mode = candidates[index].q, candidates[index].mode
        rows = {"atom": q, "config": q.mean(axis=0, keepdims=True)}
        gain = entropy(np.vstack([kept[mode], rows[mode]])) - entropy(kept[mode])
        verdict = "near" if gain > factor * theta else "rejected"
        if gain > theta or len(kept[mode]) == 0:
            verdict = "accepted"
            budget -= 1
            kept = {each: np.vstack([kept[each], rows[each]]) for each in kept}
        decisions.append((index, verdict, gain))
    return decisions, kept


@pytest.mark.parametrize("budget", [1000, 12, 1, 0])
@pytest.mark.parametrize("seed", range(3))
def test_equals_the_definition(seed, budget):
    candidates, statistics = pool(seed=seed), empty()
    decisions = LogDetSelector(0.1, 0.2, "explored")(candidates, statistics, budget, np.random.default_rng(0))
    expected, kept = by_hand(candidates, range(len(candidates)), 0.1, 0.2, budget)
    assert [(d.index, str(d.verdict)) for d in decisions] == [(index, verdict) for index, verdict, _ in expected]
    np.testing.assert_allclose([d.gain for d in decisions], [gain for *_, gain in expected], atol=1e-8)
    if budget == 1000:
        assert {str(d.verdict) for d in decisions} == {"accepted", "near", "rejected"}
    assert sum(d.verdict is Verdict.ACCEPTED for d in decisions) <= budget
    for mode, stats in statistics.items():  # whichever mode found it, an accepted cell enters both
        assert stats.n == len(kept[mode])
        if stats.n:
            np.testing.assert_allclose(stats.mean, kept[mode].mean(axis=0), atol=1e-12)
            np.testing.assert_allclose(
                stats.covariance(), np.cov(kept[mode].T, bias=True) + LAMBDA * np.eye(DIM), atol=1e-12
            )


def test_thresholds_are_exclusive():
    """ΔH > θ accepts, θ ≥ ΔH > fθ is near, the rest is out: at the very gain of the candidate."""
    statistics, rng = empty(), np.random.default_rng(0)
    for other in pool()[:3]:
        for stats in statistics.values():
            stats.add(other.q)
    candidate = max(pool()[3:], key=lambda candidate: statistics[candidate.mode].gain(candidate.q))
    gain = statistics[candidate.mode].gain(candidate.q)
    assert gain > 0
    below, above = np.nextafter(gain, 0), np.nextafter(gain, np.inf)

    def verdict(theta, factor):
        copies = {mode: stats.copy() for mode, stats in statistics.items()}
        (decision,) = LogDetSelector(theta, factor, "explored")([candidate], copies, 1, rng)
        assert copies["atom"].n == statistics["atom"].n + (decision.verdict == "accepted") * len(candidate.q)
        return decision.verdict

    assert verdict(below, 0.5) is Verdict.ACCEPTED
    assert verdict(gain, 0.5) is Verdict.NEAR
    assert verdict(2 * gain, 0.5) is Verdict.REJECTED
    assert verdict(2 * below, 0.5) is Verdict.NEAR
    assert verdict(above, 1.0) is Verdict.REJECTED


@pytest.mark.parametrize("mode", ["atom", "config"])
@pytest.mark.parametrize("n_atoms", [1, 3])
def test_an_empty_data_set_takes_its_first_candidate(mode, n_atoms):
    q = np.random.default_rng(0).normal(size=(n_atoms, DIM))
    first, statistics = Candidate("first", q, mode), empty()
    decisions = LogDetSelector(1e3, 0.5)([first], statistics, 5, np.random.default_rng(0))
    assert [d.verdict for d in decisions] == [Verdict.ACCEPTED]
    if mode == "config" or n_atoms == 1:
        assert decisions[0].gain == pytest.approx(0, abs=1e-9)
    assert [statistics["atom"].n, statistics["config"].n] == [n_atoms, 1]
    decisions = LogDetSelector(1e3, 0.5)([first], statistics, 5, np.random.default_rng(0))
    assert decisions[0].verdict is Verdict.REJECTED


def test_more_of_the_same_is_rejected():
    """Adding what is there moves the covariance by the drift of N alone."""
    rows, statistics = np.random.default_rng(0).normal(size=(8, DIM)), empty()
    candidates = [Candidate(str(number), rows, "atom") for number in range(3)]
    decisions = LogDetSelector(1e-3, 0.5, "explored")(candidates, statistics, 9, np.random.default_rng(0))
    assert [d.verdict for d in decisions] == ["accepted", "rejected", "rejected"]


def test_order():
    candidates = pool()
    explored = LogDetSelector(order="explored")(candidates, empty(), 5, np.random.default_rng(3))
    shuffled = LogDetSelector(order="shuffled")(candidates, empty(), 5, np.random.default_rng(3))
    assert [d.index for d in explored] == list(range(60))
    assert [d.index for d in shuffled] == np.random.default_rng(3).permutation(60).tolist()
    expected, _ = by_hand(candidates, [d.index for d in shuffled], 1e-3, 0.5, 5)
    assert [(d.index, str(d.verdict)) for d in shuffled] == [(index, verdict) for index, verdict, _ in expected]


def test_reproducible_and_reported():
    candidates, seen = pool(), []
    first, second = empty(), empty()
    selector = LogDetSelector(0.1, 0.2)
    decisions = selector(candidates, first, 12, np.random.default_rng(1), seen.append)
    again = selector(candidates, second, 12, np.random.default_rng(1))
    assert seen == decisions
    assert repr(decisions) == repr(again)  # nan is not nan
    assert {mode: stats.checksum() for mode, stats in first.items()} == {
        mode: stats.checksum() for mode, stats in second.items()
    }


def test_no_candidates():
    assert LogDetSelector()([], empty(), 5, np.random.default_rng(0)) == []


def test_parameters_make_their_selector():
    chosen = make_selector(SelectParams(theta_min=0.2, near_factor=0.1, order="explored"))
    assert chosen == LogDetSelector(0.2, 0.1, "explored")
    assert make_selector(SelectParams(selector="random")) == RandomSelector()
    for wrong in ({"theta_min": 0}, {"near_factor": 1.5}, {"max_labels": 0}, {"selector": "best"}):
        with pytest.raises(ValidationError):
            SelectParams(**wrong)
