"""Selectors over several benchmarks, against the definitions."""

import numpy as np
import pytest
from scipy import stats

from entropy_flows.bench import compare
from entropy_flows.report.benchmark_summary import settings_of, summary_tables


def points(method, values, student="gp", size=10):
    return [
        {
            "student": student,
            "method": method,
            "size": size,
            "seed": seed,
            "errors": {"held-out": {"energy_mae": value}},
        }
        for seed, value in enumerate(values)
    ]


RANDOM = np.array([4.0, 5.0, 6.0, 5.5])
BETTER = 0.8 * RANDOM + [0.1, -0.1, 0.05, -0.05]
FIRST = points("random", RANDOM) + points("a", BETTER) + points("b", 1.2 * RANDOM)
SECOND = points("random", RANDOM) + points("a", 1.1 * RANDOM) + points("b", RANDOM)


def test_ranks_and_the_worst_case():
    (table,) = summary_tables({"one": FIRST, "two": SECOND})
    header, *rows = table.rows
    by_name = {row[0]: dict(zip(header, row, strict=True)) for row in rows}
    assert [row[0] for row in rows] == ["random", "a", "b"]
    assert by_name["random"]["mean rank"] == "1.8"  # 2, and 1.5 beside its equal
    assert by_name["a"]["mean rank"] == "2.0"
    assert by_name["a"]["÷ random"] == f"{np.sqrt(BETTER.mean() / RANDOM.mean() * 1.1):.3f}"
    assert (by_name["a"]["worst ÷ random"], by_name["a"]["where"]) == ("1.10", "two, gp, 10")
    assert (by_name["a"]["better"], by_name["a"]["worse"]) == ("1", "1")
    assert (by_name["b"]["worst ÷ random"], by_name["b"]["worse"]) == ("1.20", "1")


def test_a_setting_needs_random():
    alone = points("a", RANDOM, size=20)
    names = [one.name for one in settings_of({"one": FIRST + alone}, "energy_mae")]
    assert names == ["one, gp, 10"]
    assert summary_tables({"one": alone}) == []


def test_the_error_of_a_ratio_is_that_of_the_pairs():
    errors, baseline = dict(enumerate(BETTER)), dict(enumerate(RANDOM))
    ratio = compare.ratio_to(errors, baseline)
    assert ratio.value == pytest.approx(BETTER.mean() / RANDOM.mean())
    left_out = [
        np.delete(BETTER, k).mean() / np.delete(RANDOM, k).mean() for k in range(len(RANDOM))
    ]
    jackknife = np.sqrt(3 / 4 * np.sum((left_out - np.mean(left_out)) ** 2))
    assert ratio.error == pytest.approx(jackknife, rel=0.1)
    assert compare.ratio_to({7: 1.0}, baseline) is None
    assert compare.rank_p(errors, baseline) == stats.wilcoxon(BETTER - RANDOM).pvalue
