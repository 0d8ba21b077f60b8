"""Tables, figures and page of a learning curve."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from entropy_flows.evaluate import coverage
from entropy_flows.evaluate.curve import ERROR_COLUMNS, Mean, Ratio, summarise
from entropy_flows.report.curve_results import Condition, CurveResults, mean_fingerprints
from entropy_flows.report.page import CaptionedFigure, Table, write_report
from entropy_flows.report.text import MISSING

if TYPE_CHECKING:
    from ase import Atoms

    from entropy_flows.conventions import Array

POOL_DRAWS = 5
"""Number of draws over which the information of equal-sized pools is averaged."""
CURVE_NOTE = "Mean ± standard deviation over the seeds; of the ratio, its standard error."
CONDITION_NOTE = (
    "0 K: the relaxed crystals, whose forces may vanish. "
    "Before: the model that the trainings start from."
)
POOL_NOTE = (
    f"Mean ± standard deviation over {POOL_DRAWS} draws; without ±, the pool has no more cells."
)


def curve_tables(points: Sequence[dict[str, Any]]) -> list[Table]:
    """Build a table for each test and error: N down, methods across.

    Values are mean ± standard deviation over the seeds.
    """
    tests = list(dict.fromkeys(test for point in points for test in point["errors"]))
    tables = []
    for test in tests:
        for quantity, (title, scale) in ERROR_COLUMNS.items():
            means = {
                key: mean.scaled(scale) for key, mean in summarise(points, test, quantity).items()
            }
            if means:
                tables.append(Table(f"{title}, {test} test", _curve_rows(means), CURVE_NOTE))
    return tables


def _curve_rows(means: dict[tuple[str, int], Mean]) -> list[list[str]]:
    """Write a row for each size; `means` is (method, size) → error."""
    methods = list(dict.fromkeys(method for method, _ in means))
    has_ratio = {"random", "entropy"} <= set(methods)
    rows = [["N", *methods, *(["random / entropy"] if has_ratio else [])]]
    for size in sorted({size for _, size in means}):
        row = [str(size), *(str(means.get((method, size), MISSING)) for method in methods)]
        # Methods may lack a size: the mixed pool cannot be larger than its near-equilibrium part.
        if has_ratio:
            row.append(ratio_text(means.get(("random", size)), means.get(("entropy", size))))
        rows.append(row)
    return rows


def ratio_text(numerator: Mean | None, denominator: Mean | None) -> str:
    """Write the ratio of two means with its standard error, if there are both."""
    if numerator is None or denominator is None:
        return MISSING
    return str(Ratio.of(numerator, denominator))


def information_table(results: CurveResults, pools: dict[str, list[Array]]) -> Table:
    """Build the table of log det Σ of equally many cells of each pool, and of the mixed one.

    Parameters
    ----------
    results
        The curve.
    pools
        As `CurveResults.pool_fingerprints` returns them.
    """
    params = results.campaign.curve
    draws, size = coverage.equal_draws(
        pools,
        results.near_equilibrium_fingerprints() if "random" in pools else [],
        size=min(len(prints) for name, prints in pools.items() if name != "independent"),
        share=params.near_share,
        least=max(params.sizes),
        seeds=range(POOL_DRAWS),
    )
    rows = [["pool", "cells", "log det Σ, per atom", "log det Σ, per config"]]
    for name, sets in draws.items():
        entropies = coverage.information(sets, results.campaign.regularization)
        rows.append([name, str(size), str(entropies["atom"]), str(entropies["config"])])
    return Table("Information of equal-sized pools", rows, POOL_NOTE)


def condition_tables(results: CurveResults) -> list[Table]:
    """Build tables of errors for each phase and temperature of the independent test.

    They compare the model before training with the largest models of each method.
    """
    frames: dict[Condition, list[Atoms]] = {}
    for atoms in results.independent_frames():
        condition = (atoms.info["phase"], atoms.info["temperature"])
        frames.setdefault(condition, []).append(atoms)
    if not frames:
        return []
    errors = results.condition_errors(frames)
    tables = []
    for quantity in ("energy_mae", "forces_mae"):
        title, scale = ERROR_COLUMNS[quantity]
        rows = [["phase", "T (K)", "cells", *errors]]
        for condition, cells in sorted(frames.items()):
            values = [
                str(Mean.of([getattr(one, quantity) for one in of_method[condition]]).scaled(scale))
                for of_method in errors.values()
            ]
            phase, temperature = condition
            rows.append([phase, f"{temperature:g}", str(len(cells)), *values])
        heading = f"{title}, independent test by condition, {results.largest_size} cells"
        tables.append(Table(heading, rows, CONDITION_NOTE))
    return tables


def write_curve_page(results: CurveResults, folder: Path) -> Path:
    """Write tables and figures; returns the HTML file."""
    from entropy_flows.report.error_plots import curve_plot

    pools = results.pool_fingerprints()
    tables = [*curve_tables(results.points), *condition_tables(results)]
    figures = {
        "curves": CaptionedFigure(
            curve_plot(results.points), "Errors against the number of training cells."
        )
    }
    if len(pools) > 1:
        tables.append(information_table(results, pools))
        figures |= _coverage_figures(pools)
    figures |= _model_figures(results)
    store = results.curve_store
    document = store.document()
    engine = document.get("engine", {}).get("name", "")
    state = document["message"] or document["state"]
    return write_report(folder, store.name, state, [engine], tables, figures)


def _coverage_figures(pools: dict[str, list[Array]]) -> dict[str, CaptionedFigure]:
    """Draw which fingerprints the pools cover."""
    from entropy_flows.report.plots import coverage_plot, map_plot

    groups = [name for name, prints in pools.items() for _ in prints]
    means = mean_fingerprints([q for prints in pools.values() for q in prints])
    figures = {
        "coverage": CaptionedFigure(
            coverage_plot(means, groups), "What the pools cover: principal components."
        )
    }
    # umap-learn is an extra: without it the page has the principal components alone.
    points = coverage.umap(means)
    if points is not None:
        umap = map_plot(points, groups, "UMAP")
        figures["umap"] = CaptionedFigure(umap, "What the pools cover: UMAP.")
    return figures


def _model_figures(results: CurveResults) -> dict[str, CaptionedFigure]:
    """Draw parity and errors by distance of the largest models, on the independent test."""
    from entropy_flows.evaluate import parity
    from entropy_flows.potentials import load_many
    from entropy_flows.report.error_plots import distance_plot, parities_plot

    test = results.independent_frames()
    if not test:
        return {}
    prints = results.fingerprints(results.campaigns.independent.name)
    cells = [prints[atoms.info["key"]] for atoms in test]
    # The first seed's model of each method stands for the others.
    first = {point["method"]: point for point in reversed(results.largest_points())}
    parities = {}
    distances = {}
    for method, point in first.items():
        model = results.curve_store.fetch_model(point["model"])
        parities[method] = parity(test, load_many(model))
        distances[method] = coverage.nearest(cells, results.training_fingerprints(point))
    caption = f"Independent test, models of {results.largest_size} cells, one seed."
    by_distance = f"{caption} Error against distance from the training set."
    return {
        "parity": CaptionedFigure(parities_plot(parities), caption),
        "distance": CaptionedFigure(distance_plot(parities, distances), by_distance),
    }
