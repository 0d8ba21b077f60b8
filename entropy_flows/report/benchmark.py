"""Figures and page of a benchmark of selectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from entropy_flows.bench.compare import Curves, curves, values_at
from entropy_flows.bench.params import BenchParams
from entropy_flows.bench.pool import LabelledPool
from entropy_flows.evaluate.curve import Mean
from entropy_flows.report.benchmark_summary import summary_tables
from entropy_flows.report.benchmark_tables import (
    SPREAD_NOTE,
    ErrorColumn,
    Points,
    benchmark_tables,
    columns_with_values,
    methods_of,
    sizes_of,
    students_of,
)
from entropy_flows.report.error_plots import calibration_plot, draw_means
from entropy_flows.report.page import CaptionedFigure, Table, write_report


def write_benchmark_page(
    points: Points,
    pool: LabelledPool,
    params: BenchParams,
    folder: Path,
    others: Mapping[str, Points] | None = None,
) -> tuple[Path, list[Table]]:
    """Write tables and figures.

    Parameters
    ----------
    points, pool, params
        The benchmark.
    folder
        Where the page goes.
    others
        Name → results of other benchmarks, which the tables over all settings count too.

    Returns
    -------
    tuple
        The HTML file, and its tables.
    """
    columns = columns_with_values(points, pool)
    figures = {}
    students = students_of(points)
    for student in students if columns else ():
        student_points = [point for point in points if point["student"] == student]
        caption = f"Learning curves of {student}. {SPREAD_NOTE}"
        name = "curves" if len(students) == 1 else f"curves-{student}"
        figures[name] = CaptionedFigure(curves_plot(student_points, columns), caption)
    largest = max(point["size"] for point in points)
    calibrations = {
        point["method"]: point["calibration"]
        for point in points
        if point["size"] == largest and point["calibration"]
    }
    is_energy = bool(pool.quantity[1])
    if calibrations and is_energy:
        caption = (
            f"The committee trained on {largest} cells: error against spread on held-out cells, "
            "the last seed."
        )
        figures["calibration"] = CaptionedFigure(calibration_plot(calibrations), caption)
    title = f"Selectors on {Path(params.pool).name}"
    tables = benchmark_tables(points, pool, params)
    tables += summary_tables({Path(params.pool).name: points, **(others or {})})
    return write_report(folder, title, "done", [], tables, figures), tables


def curves_plot(points: Points, columns: Sequence[ErrorColumn]) -> Figure:
    """Draw each error against N: mean over the seeds, bars of one standard deviation."""
    figure = Figure(figsize=(5.0 * len(columns), 4.0), layout="constrained")
    axes = figure.subplots(1, len(columns), squeeze=False)[0]
    for axis, column in zip(axes, columns, strict=True):
        for method in methods_of(points):
            means = _method_means(
                curves(points, method, column.key), column.scale, sizes_of(points)
            )
            draw_means(axis, list(means), list(means.values()), method)
        yscale = "linear" if "r2" in column.key else "log"
        axis.set(xlabel="labelled cells", ylabel=column.title, xscale="log", yscale=yscale)
        axis.legend(fontsize=8)
    return figure


def _method_means(curve: Curves, scale: float, sizes: Sequence[int]) -> dict[int, Mean]:
    """Return size → mean over the seeds, of the sizes that some seed has."""
    values = {size: list(values_at(curve, size).values()) for size in sizes}
    return {size: Mean.of(errors).scaled(scale) for size, errors in values.items() if errors}
