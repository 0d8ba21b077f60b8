"""Selectors over several benchmarks: mean rank, and the worst case against random."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from entropy_flows.bench.compare import curves, paired_p, ratio_to, values_at
from entropy_flows.report.benchmark_tables import (
    BASELINE,
    Points,
    methods_of,
    sizes_of,
    students_of,
)
from entropy_flows.report.page import Table
from entropy_flows.report.text import MISSING

QUANTITIES = {
    "energy_mae": "energy MAE",
    "energy_p95": "energy error, 95th percentile",
    "forces_mae": "force MAE",
}
SIGNIFICANT = 0.05
SUMMARY_NOTE = (
    "A setting is a data set, a student and a number of cells that random and the selector have. "
    "Rank: by the mean over the seeds, 1 the best, among all selectors. ÷ random: geometric mean. "
    f"Better, worse: settings with p < {SIGNIFICANT} by a paired t-test."
)


@dataclass(frozen=True)
class Setting:
    """One comparison of all selectors.

    Attributes
    ----------
    name
        Data set, student and number of cells.
    errors
        Selector → seed → error.
    """

    name: str
    errors: dict[str, dict[int, float]]

    def ranks(self) -> dict[str, float]:
        """Return selector → rank by its mean error; equal ones share the mean of their ranks."""
        means = {method: np.mean(list(each.values())) for method, each in self.errors.items()}
        return {
            method: 1 + sum(other < mean for other in means.values())
            + 0.5 * (sum(other == mean for other in means.values()) - 1)
            for method, mean in means.items()
        }  # fmt: skip


def settings_of(benchmarks: Mapping[str, Points], quantity: str) -> list[Setting]:
    """Return the settings that have a quantity, of benchmarks by their data sets' names."""
    settings = []
    for name, points in benchmarks.items():
        for student, size in product(students_of(points), sizes_of(points)):
            results = [point for point in points if point["student"] == student]
            errors = {
                method: values_at(curves(results, method, quantity), size)
                for method in methods_of(results)
            }
            errors = {method: each for method, each in errors.items() if each}
            if BASELINE in errors and len(errors) > 1:
                settings.append(Setting(f"{name}, {student}, {size}", errors))
    return settings


def summary_tables(benchmarks: Mapping[str, Points]) -> list[Table]:
    """Build a table for each quantity, with a row for each selector, the best rank first."""
    tables = []
    for quantity, title in QUANTITIES.items():
        settings = settings_of(benchmarks, quantity)
        if settings:
            name = f"{title}: all data sets, students and numbers of cells"
            tables.append(Table(name, _rows(settings), SUMMARY_NOTE))
    return tables


def _rows(settings: Sequence[Setting]) -> list[list[str]]:
    header = ["selector", "mean rank", "÷ random", "worst ÷ random", "where", "better", "worse"]
    header.append("settings")
    methods = list(dict.fromkeys(method for one in settings for method in one.errors))
    mean_ranks = {
        method: float(np.mean([one.ranks()[method] for one in settings if method in one.errors]))
        for method in methods
    }
    methods.sort(key=lambda method: mean_ranks[method])
    return [header, *(_row(settings, method, mean_ranks[method]) for method in methods)]


def _row(settings: Sequence[Setting], method: str, mean_rank: float) -> list[str]:
    present = [one for one in settings if method in one.errors]
    if method == BASELINE:
        return [method, f"{mean_rank:.1f}", *([MISSING] * 5), str(len(present))]
    ratios: dict[str, float] = {}
    better = worse = 0
    for one in present:
        errors, baseline = one.errors[method], one.errors[BASELINE]
        ratio = ratio_to(errors, baseline)
        if ratio is None:
            continue
        ratios[one.name] = ratio.value
        p = paired_p(errors, baseline)
        is_clear = p is not None and p < SIGNIFICANT
        better += is_clear and ratio.value < 1
        worse += is_clear and ratio.value > 1
    where = max(ratios, key=lambda name: ratios[name])
    mean = float(np.exp(np.mean(np.log(list(ratios.values())))))
    numbers = [f"{mean_rank:.1f}", f"{mean:.3f}", f"{ratios[where]:.2f}"]
    return [method, *numbers, where, str(better), str(worse), str(len(present))]
