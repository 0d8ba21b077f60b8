"""Draws and averages of learning curves."""

import numpy as np
import pytest

from entropy_flows.evaluate.curve import Mean, Ratio, draw, draw_mixed, summarise


def point(method, size, seed, energy, test="in-distribution"):
    return {
        "method": method,
        "size": size,
        "seed": seed,
        "errors": {test: {"energy_mae": energy, "stress_mae": None}},
    }


def test_mean_and_sample_standard_deviation():
    mean = Mean.of([1.0, 2.0, 4.0])
    assert (mean.mean, mean.n) == (pytest.approx(7 / 3), 3)
    assert mean.std == pytest.approx(np.std([1, 2, 4], ddof=1))
    assert Mean.of([3.0]) == Mean(3.0, 0.0, 1)
    assert str(Mean(12.34, 0.51, 3)) == "12.3 ± 0.5"
    assert str(Mean(0.1234, 0.05, 1)) == "0.123"
    assert str(Mean(-1354.407, 0.25, 2)) == "-1354.4 ± 0.2"
    assert mean.scaled(10) == Mean(10 * mean.mean, 10 * mean.std, 3)


def test_the_ratios_error_is_that_of_many_repetitions():
    """First-order error propagation against experiments with known distributions."""
    rng = np.random.default_rng(0)
    experiments = [[Mean.of(rng.normal(m, 0.1 * m, 3)) for m in (40.0, 8.0)] for _ in range(4000)]
    ratios = [Ratio.of(*pair) for pair in experiments]
    found = np.array([[ratio.value, ratio.error] for ratio in ratios])
    assert found[:, 0].mean() == pytest.approx(5.0, rel=0.02)
    assert np.sqrt((found[:, 1] ** 2).mean()) == pytest.approx(found[:, 0].std(), rel=0.1)


def test_a_single_value_has_no_error_and_neither_has_its_ratio():
    several = Mean.of([1.0, 2.0, 3.0])
    for pair in ((several, Mean.of([4.0])), (Mean.of([4.0]), several)):
        assert Ratio.of(*pair).error is None
        assert "±" not in str(Ratio.of(*pair))
    assert str(Ratio.of(several, several)) == "1.00 ± 0.41"


def test_seeds_are_averaged_and_missing_errors_left_out():
    points = [point("entropy", 50, s, e) for s, e in ((1, 2.0), (2, 4.0))] + [
        point("random", 25, 1, 7.0)
    ]
    points.append(point("entropy", 25, 1, 1.0))
    found = summarise(points, "in-distribution", "energy_mae")
    assert list(found) == [("entropy", 25), ("entropy", 50), ("random", 25)]
    assert found["entropy", 50] == Mean.of([2.0, 4.0])
    assert summarise(points, "in-distribution", "stress_mae") == {}
    assert summarise(points, "another", "energy_mae") == {}


def test_draws_follow_from_seed_and_size_and_do_not_nest():
    pool = list(range(100))
    assert draw(pool, 20, 7) == draw(pool, 20, 7)
    assert len(set(draw(pool, 20, 7))) == 20
    assert draw(pool, 20, 7) != draw(pool, 20, 8)
    assert not set(draw(pool, 20, 7)) <= set(draw(pool, 40, 7))
    with pytest.raises(
        ValueError, match="the random pool has 100 cells to train on, 101 are wanted"
    ):
        draw(pool, 101, 7, "the random pool")


def test_the_mixed_pool_has_its_share():
    chosen = draw_mixed(list(range(100)), list(range(1000, 1030)), 50, 0.2, 3)
    assert len(set(chosen)) == 50
    assert sum(item >= 1000 for item in chosen) == 10
    with pytest.raises(ValueError, match=r"near-equilibrium part of the baseline .* has 30 cells"):
        draw_mixed(list(range(1000)), list(range(30)), 200, 0.2, 3)
