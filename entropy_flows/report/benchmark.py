"""Tables and page of a benchmark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from entropy_flows.bench import compare
from entropy_flows.bench.params import BenchParams
from entropy_flows.bench.pool import LabelledPool
from entropy_flows.evaluate.curve import Mean
from entropy_flows.report.page import Table, write_report
from entropy_flows.report.plots import calibration_plot

Points = Sequence[Mapping[str, Any]]
SPREAD = (
    "Mean ± standard deviation over the seeds, with their number where a selector ended early for some; held-out "
    "cells, the same for all."
)
BASELINE = "random"
TITLES = {"random": "random", "committee": "uncertainty", "kmeans": "diversity", "hybrid": "hybrid"}
"""What Khan 2026 calls its strategies."""


def quantities(pool: LabelledPool) -> dict[str, tuple[str, float]]:
    """Error → name with unit, and factor to that unit."""
    name, unit = pool.quantity
    if not unit:
        return {"energy_mae": (f"MAE of {name}", 1.0), "energy_r2": (f"R² of {name}", 1.0)}
    found = {"energy_mae": (f"energy MAE, {unit}", 1e3), "energy_r2": ("energy R²", 1.0)}
    return found | {"forces_mae": ("force MAE, meV/Å", 1e3)}


def tables(points: Points, pool: LabelledPool, params: BenchParams) -> list[Table]:
    """Errors, what they say against random, calibration, and the choice's own cost."""
    known = quantities(pool)
    found = [_errors(points, name, *known[name]) for name in known if _has(points, name)]
    if BASELINE in _methods(points):
        titles = TITLES if params.preset == "khan-2026" else {}
        found += [
            _summary(points, known["energy_mae"], titles),
            _tests(points, "energy_mae", known["energy_mae"][0]),
        ]
    return [*found, *_calibration(points), _cost(points), *_early(points)]


def write_page(points: Points, pool: LabelledPool, params: BenchParams, folder: Path) -> Path:
    """Write tables and figures; returns the page."""
    known = {name: told for name, told in quantities(pool).items() if _has(points, name)}
    figures = (
        {"curves": (curves_plot(points, known), f"Learning curves. {SPREAD}")} if known else {}
    )
    largest = max(point["size"] for point in points)
    spreads = {
        p["method"]: p["calibration"] for p in points if p["size"] == largest and p["calibration"]
    }
    if spreads and pool.quantity[1]:
        caption = f"The committee trained on {largest} cells: error against spread on held-out cells, the last seed."
        figures["calibration"] = (calibration_plot(spreads), caption)
    title = f"Selectors on {Path(params.pool).name}"
    return write_report(folder, title, "done", [], tables(points, pool, params), figures)


def curves_plot(points: Points, known: Mapping[str, tuple[str, float]]) -> Figure:
    """A panel for each error: mean over the seeds against N, bars of one standard deviation."""
    figure = Figure(figsize=(5.0 * len(known), 4.0), layout="constrained")
    for axis, (name, (title, scale)) in zip(
        figure.subplots(1, len(known), squeeze=False)[0], known.items(), strict=True
    ):
        for method in _methods(points):
            found = compare.curves(points, method, name)
            sizes = [n for n in _sizes(points) if compare.at(found, n)]
            means = [Mean.of(list(compare.at(found, n).values())).scaled(scale) for n in sizes]
            bars = [mean.std for mean in means]
            axis.errorbar(
                sizes, [mean.mean for mean in means], bars, fmt="o-", ms=4, capsize=3, label=method
            )
        axis.set(
            xlabel="labelled cells",
            ylabel=title,
            xscale="log",
            yscale="linear" if "r2" in name else "log",
        )
        axis.legend(fontsize=8)
    return figure


def _errors(points: Points, name: str, title: str, scale: float) -> Table:
    """N down, selectors across."""
    methods, seeds = _methods(points), _seeds(points)
    rows = [["N", *methods]]
    for size in _sizes(points):
        values = [compare.at(compare.curves(points, method, name), size) for method in methods]
        rows.append([str(size), *(_mean(found, scale, seeds) for found in values)])
    return (title, rows, SPREAD)


def _summary(points: Points, told: tuple[str, float], titles: Mapping[str, str]) -> Table:
    """A row for each selector: at the largest N, over the whole curve, and labels saved."""
    (title, scale), sizes, seeds = told, _sizes(points), _seeds(points)
    base = compare.curves(points, BASELINE, "energy_mae")
    final = compare.at(base, sizes[-1])
    rows = [
        ["selector", f"{title} at N = {sizes[-1]}", "R²", "against random", "p", "mean of the curve", "against random",
         "p", "N for random's last error", "labels saved"]
    ]  # fmt: skip
    for method in _methods(points):
        found = compare.curves(points, method, "energy_mae")
        last, area = compare.at(found, sizes[-1]), compare.areas(found, sizes)
        score = compare.at(compare.curves(points, method, "energy_r2"), sizes[-1])
        reached = compare.needed(found, sizes, final)
        rows.append([
            titles.get(method, method), _mean(last, scale, seeds), _mean(score, 1.0, seeds), *_against(last, final),
            _mean(area, scale, seeds), *_against(area, compare.areas(base, sizes)),
            "–" if reached is None else f"{reached:.0f}",
            "–" if reached is None else f"{100 * (1 - reached / sizes[-1]):.0f} %",
        ])  # fmt: skip
    note = (
        f"{SPREAD} Against random, and p by a paired t-test: over the seeds that both have. Mean of the curve: area "
        "below it, divided by the range of N."
    )
    return ("Selectors against random", rows, note)


def _tests(points: Points, name: str, title: str) -> Table:
    """Change against random and p, N down, selectors across."""
    methods = [method for method in _methods(points) if method != BASELINE]
    base = compare.curves(points, BASELINE, name)
    rows = [["N", *methods]]
    for size in _sizes(points):
        pairs = [
            _against(compare.at(compare.curves(points, m, name), size), compare.at(base, size))
            for m in methods
        ]
        rows.append([str(size), *(f"{change} (p {p})" for change, p in pairs)])
    return (
        f"{title}: change against random",
        rows,
        "Negative is better. p: paired t-test over the seeds that both have.",
    )


def _calibration(points: Points) -> list[Table]:
    """Spearman's ρ and ratio of the committees, where there are."""
    rows = [
        ["selector", "N", "quantity", "Spearman's ρ of spread and error", "rms error / rms spread"]
    ]
    for method, size in dict.fromkeys((point["method"], point["size"]) for point in points):
        own = [
            p["calibration"]
            for p in points
            if (p["method"], p["size"]) == (method, size) and p["calibration"]
        ]
        for quantity in own[0] if own else ():
            values = [
                {k: part[quantity][key] for k, part in enumerate(own)}
                for key in ("spearman", "ratio")
            ]
            kept = [
                {k: value for k, value in column.items() if value is not None} for column in values
            ]
            rows.append(
                [method, str(size), quantity, *(_mean(column, 1.0, len(own)) for column in kept)]
            )
    note = "Of the committee trained on what was chosen, on held-out cells; a ratio above 1: it is surer than it may be."
    return [("Calibration of the committee", rows, note)] if len(rows) > 1 else []


def _cost(points: Points) -> Table:
    """What choosing cost and gave."""
    rows = [
        [
            "selector",
            "N",
            "log det Σ, per atom",
            "log det Σ, per config",
            "seconds to choose",
            "MiB to choose",
        ]
    ]
    for method, size in dict.fromkeys((point["method"], point["size"]) for point in points):
        own = {
            p["seed"]: {**p, **p["information"]}
            for p in points
            if (p["method"], p["size"]) == (method, size) and len(p["chosen"]) == size
        }
        columns = ("atom", "config", "selection_seconds", "mib")
        found = [{seed: point[name] for seed, point in own.items()} for name in columns]
        rows.append([method, str(size), *(_mean(values, 1.0, _seeds(points)) for values in found)])
    note = (
        "Mean ± standard deviation over the seeds that have so many cells. Of rounds, seconds add up; evaluating a "
        "committee on the candidates is a part of choosing, training it is not. MiB: what the process' memory rose by."
    )
    return ("Selection", rows, note)


def _early(points: Points) -> list[Table]:
    """Selectors that stopped before they had what was wanted; nothing was trained on that."""
    rows = [
        [p["method"], str(p["size"]), str(p["seed"]), str(len(p["chosen"])), p["reason"]]
        for p in points
        if p["reason"]
    ]
    return (
        [("Stopped early", [["selector", "N", "seed", "chosen", "why"], *rows], "")] if rows else []
    )


def _against(ours: Mapping[int, float], theirs: Mapping[int, float]) -> tuple[str, str]:
    """Change in percent, and p."""
    change, p = compare.change(ours, theirs), compare.paired(ours, theirs)
    return "–" if change is None else f"{100 * change:+.1f} %", "–" if p is None else f"{p:.2g}"


def _mean(values: Mapping[int, float], scale: float, seeds: int) -> str:
    """Mean over the seeds, and how many of them where not all have a value."""
    if not values:
        return "–"
    told = str(Mean.of(list(values.values())).scaled(scale))
    return told if len(values) == seeds else f"{told} ({len(values)} of {seeds} seeds)"


def _has(points: Points, name: str) -> bool:
    return any(point["errors"].get("held-out", {}).get(name) is not None for point in points)


def _methods(points: Points) -> list[str]:
    return list(dict.fromkeys(point["method"] for point in points))


def _seeds(points: Points) -> int:
    return len({point["seed"] for point in points})


def _sizes(points: Points) -> list[int]:
    return sorted({point["size"] for point in points})
