"""What seeds say together, against the definitions."""

import numpy as np
import pytest
from scipy import stats

from entropy_flows.bench import compare


def points(method, table):
    """Points of {N: errors by seed}."""
    return [
        {"method": method, "size": n, "seed": seed, "errors": {"held-out": {"energy_mae": value}}}
        for n, values in table.items()
        for seed, value in enumerate(values)
    ]


RANDOM = {10: [4.0, 5.0, 6.0], 20: [2.0, 3.0, 4.0], 40: [1.0, 2.0, 2.4]}
OTHER = {10: [4.0, 4.0, 5.0], 20: [1.0, 2.0, 2.0], 40: [0.5, 1.0, 1.5]}


def test_paired_tests_are_over_the_same_seeds():
    both = points("random", RANDOM) + points("other", OTHER)
    ours, base = (compare.curves(both, name, "energy_mae") for name in ("other", "random"))
    differences = np.array(OTHER[40]) - RANDOM[40]
    t = differences.mean() / (differences.std(ddof=1) / np.sqrt(3))
    assert compare.paired_p(
        compare.values_at(ours, 40), compare.values_at(base, 40)
    ) == pytest.approx(2 * stats.t.sf(abs(t), 2))
    assert compare.relative_change(
        compare.values_at(ours, 40), compare.values_at(base, 40)
    ) == pytest.approx(3.0 / 5.4 - 1)
    assert compare.paired_p(compare.values_at(ours, 40), compare.values_at(ours, 40)) is None
    assert compare.paired_p({0: 1.0}, {0: 2.0}) is None
    assert compare.paired_p({0: 1.0, 1: 2.0}, {5: 1.0}) is None
    assert compare.relative_change({0: 1.0}, {1: 1.0}) is None
    assert (
        compare.paired_p({0: 1.0, 1: 2.0}, {0: 2.0, 1: 3.0}) == 0.0
    )  # better by the same each time


def test_the_area_is_the_mean_height():
    found = compare.curves(points("random", RANDOM), "random", "energy_mae")
    expected = [
        (10 * (a + b) / 2 + 20 * (b + c) / 2) / 30 for a, b, c in zip(*RANDOM.values(), strict=True)
    ]
    assert list(compare.areas(found, [10, 20, 40]).values()) == pytest.approx(expected)
    assert compare.areas(found, [10]) == {}
    del found[1][20]
    assert set(compare.areas(found, [10, 20, 40])) == {0, 2}


def test_labels_needed():
    found = compare.curves(
        points("other", {10: [4.0], 20: [2.0], 40: [1.0]}), "other", "energy_mae"
    )
    assert compare.size_to_reach(found, [10, 20, 40], {0: 1.5}) == pytest.approx(30)
    assert compare.size_to_reach(found, [10, 20, 40], {0: 2.0}) == pytest.approx(20)
    assert compare.size_to_reach(found, [10, 20, 40], {0: 5.0}) == 10
    assert compare.size_to_reach(found, [10, 20, 40], {0: 0.5}) is None
    assert compare.size_to_reach(found, [10, 20, 40], {1: 5.0}) is None


def test_labels_needed_are_of_the_seeds_that_are_there_at_every_size():
    table = {10: [4.0, 8.0], 20: [2.0]}  # the second seed ended early, and so did both at 40
    found = compare.curves(points("other", table), "other", "energy_mae")
    assert compare.size_to_reach(found, [10, 20, 40], {0: 3.0, 1: 100.0}) == pytest.approx(15)
