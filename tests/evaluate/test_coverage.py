"""What pools cover."""

import numpy as np
import pytest

from entropy_flows.entropy import SufficientStatistics
from entropy_flows.evaluate.coverage import information, nearest, with_mixed


def prints(n, spread, seed=0, dim=5):
    rng = np.random.default_rng(seed)
    return [spread * rng.normal(size=(8, dim)) for _ in range(n)]


def test_information_is_the_log_determinant_of_a_draw():
    pool = prints(12, 1.0)
    found = information(pool, 12, 1e-3, [0, 1])
    for mode in ("atom", "config"):
        stats = SufficientStatistics(5, 1e-3, mode)
        for q in pool:
            stats.add(q)
        assert found[mode].mean == pytest.approx(stats.entropy())
        assert found[mode].std == pytest.approx(0.0, abs=1e-9)


def test_a_wider_pool_has_more():
    wide, narrow = (information(prints(40, spread), 20, 1e-3, range(3)) for spread in (3.0, 1.0))
    assert wide["atom"].mean > narrow["atom"].mean
    assert wide["config"].mean > narrow["config"].mean


def test_the_mixed_pool_is_made_of_both():
    pools = {"entropy": prints(40, 3.0), "random": prints(40, 1.0, seed=1), "independent": prints(4, 1.0)}
    near = pools["random"][:4]
    found, size = with_mixed(pools, near, 24, 0.2, 10)
    assert list(found) == ["entropy", "random", "mixed"]
    assert (len(found["mixed"]), size) == (22, 22)  # a fifth of 23 would be 5
    own = {id(q) for q in near}
    assert sum(id(q) in own for q in found["mixed"]) == 4
    found, size = with_mixed(pools, near, 40, 0.2, 30)
    assert (list(found), size) == (["entropy", "random"], 40)


def test_nearest_distance_by_hand():
    others = [np.array([[0.0, 5.0]]), np.array([[2.0, 5.0]])]  # standard deviations 1 and 0
    assert nearest([np.array([[3.0, 5.5]]), np.array([[0.0, 5.0]])], others) == pytest.approx([np.hypot(1, 0.5), 0.0])
