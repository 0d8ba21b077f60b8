"""Tables of a benchmark of selectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from entropy_flows.bench.compare import (
    areas,
    curves,
    paired_p,
    rank_p,
    ratio_to,
    relative_change,
    size_to_reach,
    values_at,
)
from entropy_flows.bench.params import BenchParams
from entropy_flows.bench.pool import LabelledPool
from entropy_flows.evaluate.curve import Mean
from entropy_flows.report.page import Table
from entropy_flows.report.text import MISSING

Points = Sequence[Mapping[str, Any]]
"""Results of a benchmark, as `Bench.points` returns them."""
SPREAD_NOTE = (
    "Mean ± standard error over the seeds, with their number where a selector ended early for "
    "some; held-out cells, of a seed the same for all selectors."
)
SUMMARY_NOTE = (
    f"{SPREAD_NOTE} Against random, and p by a paired t-test: over the seeds that both have. Mean "
    "of the curve: area below it, divided by the range of N."
)
CALIBRATION_NOTE = (
    "Of the committee trained on what was chosen, on held-out cells; a ratio above 1: it is surer "
    "than it may be."
)
COST_NOTE = (
    "Mean ± standard error over the seeds that have so many cells. Of rounds, seconds add up; "
    "evaluating a committee on the candidates is a part of choosing, training it is not. MiB: what "
    "the process' memory rose by."
)
TEST_NOTE = (
    "Negative is better; ± one standard error. p: paired t-test, and Wilcoxon's test, over the "
    "seeds that both have."
)
BASELINE = "random"
KHAN_TITLES = {
    "random": "random",
    "committee": "uncertainty",
    "kmeans": "diversity",
    "hybrid": "hybrid",
}
"""Selector → name of Khan 2026's strategy."""


@dataclass(frozen=True)
class ErrorColumn:
    """An error as the tables show it."""

    key: str
    """Key in a point's errors."""
    title: str
    """Name with unit."""
    scale: float
    """Factor from eV and Å to the unit."""


def error_columns(pool: LabelledPool) -> list[ErrorColumn]:
    """Return the errors of the pool's target, that of the MAE first."""
    name, unit = pool.quantity
    if not unit:
        return [
            ErrorColumn("energy_mae", f"MAE of {name}", 1.0),
            ErrorColumn("energy_r2", f"R² of {name}", 1.0),
        ]
    return [
        ErrorColumn("energy_mae", f"energy MAE, {unit}", 1e3),
        ErrorColumn("energy_p95", f"energy error, 95th percentile, {unit}", 1e3),
        ErrorColumn("energy_r2", "energy R²", 1.0),
        ErrorColumn("forces_mae", "force MAE, meV/Å", 1e3),
    ]


def columns_with_values(points: Points, pool: LabelledPool) -> list[ErrorColumn]:
    """Return the errors that some point has."""
    return [column for column in error_columns(pool) if _has_error(points, column.key)]


def benchmark_tables(points: Points, pool: LabelledPool, params: BenchParams) -> list[Table]:
    """Build the tables of each student, and those of all students together."""
    students = students_of(points)
    tables = []
    for student in students:
        prefix = f"{student}: " if len(students) > 1 else ""
        student_points = [point for point in points if point["student"] == student]
        titled = _student_tables(student_points, pool, params)
        tables += [table._replace(title=prefix + table.title) for table in titled]
    return tables


def _student_tables(points: Points, pool: LabelledPool, params: BenchParams) -> list[Table]:
    """Build the tables of errors, their change against random, calibration, and cost."""
    columns = columns_with_values(points, pool)
    tables = [_error_table(points, column) for column in columns]
    if BASELINE in methods_of(points):
        titles = KHAN_TITLES if params.preset == "khan-2026" else {}
        tables.append(_summary_table(points, error_columns(pool)[0], titles))
        tables += [_test_table(points, column) for column in columns if "r2" not in column.key]
    return [
        *tables,
        *_calibration_tables(points),
        _cost_table(points),
        *_early_tables(points),
    ]


def _error_table(points: Points, column: ErrorColumn) -> Table:
    """Build the table of one error: N down, selectors across."""
    methods = methods_of(points)
    seeds = _seeds(points)
    rows = [["N", *methods]]
    for size in sizes_of(points):
        values = [values_at(curves(points, method, column.key), size) for method in methods]
        rows.append([str(size), *(_mean_text(errors, column.scale, seeds) for errors in values)])
    return Table(column.title, rows, SPREAD_NOTE)


def _summary_table(points: Points, column: ErrorColumn, titles: Mapping[str, str]) -> Table:
    """Build a row for each selector: at the largest N, over the whole curve, and labels saved."""
    sizes = sizes_of(points)
    header = [
        "selector",
        f"{column.title} at N = {sizes[-1]}",
        "R²",
        "against random",
        "p",
        "mean of the curve",
        "against random",
        "p",
        "N for random's last error",
        "labels saved",
    ]
    rows = [_summary_row(points, method, column) for method in methods_of(points)]
    titled = [[titles.get(method, method), *row] for method, *row in rows]
    return Table("Selectors against random", [header, *titled], SUMMARY_NOTE)


def _summary_row(points: Points, method: str, column: ErrorColumn) -> list[str]:
    sizes = sizes_of(points)
    seeds = _seeds(points)
    baseline = curves(points, BASELINE, column.key)
    curve = curves(points, method, column.key)
    baseline_last = values_at(baseline, sizes[-1])
    last = values_at(curve, sizes[-1])
    area = areas(curve, sizes)
    r2 = values_at(curves(points, method, "energy_r2"), sizes[-1])
    reached = size_to_reach(curve, sizes, baseline_last)
    saved = None if reached is None else 100 * (1 - reached / sizes[-1])
    return [
        method,
        _mean_text(last, column.scale, seeds),
        _mean_text(r2, 1.0, seeds),
        *_against(last, baseline_last),
        _mean_text(area, column.scale, seeds),
        *_against(area, areas(baseline, sizes)),
        MISSING if reached is None else f"{reached:.0f}",
        MISSING if saved is None else f"{saved:.0f} %",
    ]


def _test_table(points: Points, column: ErrorColumn) -> Table:
    """Build the table of change against random, and p: N down, selectors across."""
    methods = [method for method in methods_of(points) if method != BASELINE]
    baseline = curves(points, BASELINE, column.key)
    rows = [["N", *methods]]
    for size in sizes_of(points):
        row = [str(size)]
        for method in methods:
            errors = values_at(curves(points, method, column.key), size)
            row.append(_tested(errors, values_at(baseline, size)))
        rows.append(row)
    return Table(f"{column.title}: change against random", rows, TEST_NOTE)


def _calibration_tables(points: Points) -> list[Table]:
    """Build the table of Spearman's ρ and the ratio of the committees, if there are any."""
    rows = []
    for (method, size), group in _groups(points).items():
        # Only selectors that go by uncertainty train a committee of models.
        calibrations = [point["calibration"] for point in group if point["calibration"]]
        for quantity in calibrations[0] if calibrations else ():
            texts = []
            for key in ("spearman", "ratio"):
                values = {
                    index: calibration[quantity][key]
                    for index, calibration in enumerate(calibrations)
                    if calibration[quantity][key] is not None
                }
                texts.append(_mean_text(values, 1.0, len(calibrations)))
            rows.append([method, str(size), quantity, *texts])
    if not rows:
        return []
    header = ["selector", "N", "quantity"]
    header += ["Spearman's ρ of spread and error", "rms error / rms spread"]
    return [Table("Calibration of the committee", [header, *rows], CALIBRATION_NOTE)]


def _cost_table(points: Points) -> Table:
    """Build the table of what a choice cost, and of its information."""
    header = ["selector", "N", "log det Σ, per atom", "log det Σ, per config"]
    header += ["seconds to choose", "MiB to choose"]
    rows = []
    for (method, size), group in _groups(points).items():
        complete = {p["seed"]: {**p, **p["information"]} for p in group if len(p["chosen"]) == size}
        texts = []
        for name in ("atom", "config", "selection_seconds", "mib"):
            values = {seed: point[name] for seed, point in complete.items()}
            texts.append(_mean_text(values, 1.0, _seeds(points)))
        rows.append([method, str(size), *texts])
    return Table("Selection", [header, *rows], COST_NOTE)


def _early_tables(points: Points) -> list[Table]:
    """Build the table of choices that ended with too few cells; nothing was trained on those."""
    rows = [
        [p["method"], str(p["size"]), str(p["seed"]), str(len(p["chosen"])), p["reason"]]
        for p in points
        if p["reason"]
    ]
    if not rows:
        return []
    return [Table("Stopped early", [["selector", "N", "seed", "chosen", "why"], *rows])]


def _tested(errors: Mapping[int, float], baseline_errors: Mapping[int, float]) -> str:
    """Write the change in percent with its error, and p of two tests."""
    ratio = ratio_to(errors, baseline_errors)
    if ratio is None:
        return MISSING
    error = "" if ratio.error is None else f" ± {100 * ratio.error:.1f}"
    tests = [paired_p(errors, baseline_errors), rank_p(errors, baseline_errors)]
    ps = ", ".join(MISSING if p is None else f"{p:.2g}" for p in tests)
    return f"{100 * (ratio.value - 1):+.1f}{error} % (p {ps})"


def _against(errors: Mapping[int, float], baseline_errors: Mapping[int, float]) -> tuple[str, str]:
    """Write the change in percent, and p; both arguments are seed → value."""
    change = relative_change(errors, baseline_errors)
    p = paired_p(errors, baseline_errors)
    change_text = MISSING if change is None else f"{100 * change:+.1f} %"
    return change_text, MISSING if p is None else f"{p:.2g}"


def _mean_text(values: Mapping[int, float], scale: float, seeds: int) -> str:
    """Write the mean over the seeds, and how many have a value if not all do."""
    if not values:
        return MISSING
    mean = Mean.of(list(values.values())).scaled(scale).with_standard_error
    return mean if len(values) == seeds else f"{mean} ({len(values)} of {seeds} seeds)"


def _has_error(points: Points, key: str) -> bool:
    return any(point["errors"].get("held-out", {}).get(key) is not None for point in points)


def _groups(points: Points) -> dict[tuple[str, int], list[Mapping[str, Any]]]:
    """Return the points of each method and size, in the order of the points."""
    groups: dict[tuple[str, int], list[Mapping[str, Any]]] = {}
    for point in points:
        groups.setdefault((point["method"], point["size"]), []).append(point)
    return groups


def students_of(points: Points) -> list[str]:
    """Return the students in the order of the points."""
    return list(dict.fromkeys(point["student"] for point in points))


def methods_of(points: Points) -> list[str]:
    """Return the selectors in the order of the points."""
    return list(dict.fromkeys(point["method"] for point in points))


def _seeds(points: Points) -> int:
    return len({point["seed"] for point in points})


def sizes_of(points: Points) -> list[int]:
    """Return the numbers of cells, rising."""
    return sorted({point["size"] for point in points})
