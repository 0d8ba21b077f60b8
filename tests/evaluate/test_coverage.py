"""What pools cover."""

import numpy as np
import pytest

from entropy_flows.entropy import SufficientStatistics
from entropy_flows.evaluate.coverage import equal_draws, information, nearest


def prints(n, spread, seed=0, dim=5):
    rng = np.random.default_rng(seed)
    return [spread * rng.normal(size=(8, dim)) for _ in range(n)]


def test_information_is_the_log_determinant():
    pool = prints(12, 1.0)
    found = information([pool, pool[::-1]], 1e-3)
    for mode in ("atom", "config"):
        stats = SufficientStatistics(5, 1e-3, mode)
        for q in pool:
            stats.add(q)
        assert found[mode].mean == pytest.approx(stats.entropy())
        assert found[mode].std == pytest.approx(0.0, abs=1e-9)


def test_a_wider_pool_has_more():
    wide, narrow = (
        information([prints(20, spread, seed) for seed in range(3)], 1e-3) for spread in (3.0, 1.0)
    )
    assert wide["atom"].mean > narrow["atom"].mean
    assert wide["config"].mean > narrow["config"].mean


def test_equal_draws_and_the_mixed_pool_of_both():
    pools = {
        "entropy": prints(40, 3.0),
        "random": prints(22, 1.0, seed=1),
        "independent": prints(4, 1.0),
    }
    near = pools["random"][:4]
    found, size = equal_draws(pools, near, 24, 0.2, 10, range(3))
    assert size == 22  # a fifth of 23 would be 5
    assert {name: len(sets) for name, sets in found.items()} == {
        "entropy": 3,
        "random": 1,
        "mixed": 3,
    }
    assert {len(cells) for sets in found.values() for cells in sets} == {22}
    places = {id(q): k for k, q in enumerate(near)}
    shares = [sorted(places[id(q)] for q in cells if id(q) in places) for cells in found["mixed"]]
    assert shares == 3 * [[0, 1, 2, 3]]
    ours = [{id(q) for q in cells} for cells in found["mixed"]]
    assert ours[0] != ours[1] != ours[2]
    found, size = equal_draws(pools, near, 22, 0.2, 30, range(3))
    assert (list(found), size) == (["entropy", "random"], 22)


def test_nearest_distance_by_hand():
    others = [np.array([[0.0, 5.0]]), np.array([[2.0, 5.0]])]  # standard deviations 1 and 0
    assert nearest([np.array([[3.0, 5.5]]), np.array([[0.0, 5.0]])], others) == pytest.approx(
        [np.hypot(1, 0.5), 0.0]
    )
