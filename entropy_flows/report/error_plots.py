"""Figures of errors: labels against predictions, learning curves, and a committee's spread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from entropy_flows.conventions import GPA, Array
from entropy_flows.evaluate.advice import mae_noise
from entropy_flows.evaluate.curve import ERROR_COLUMNS, Mean, summarise
from entropy_flows.evaluate.errors import Parity

BEFORE_COLOUR = "#9aa0a6"
AFTER_COLOUR = "#1a73e8"


class _Panel(NamedTuple):
    """One panel of a parity plot."""

    name: str
    """Attribute of `Parity`."""
    title: str
    unit: str
    scale: float
    """Factor from eV and Å to the unit."""


ENERGY = _Panel("energy", "energy", "eV/atom", 1.0)
FORCES = _Panel("forces", "force component", "eV/Å", 1.0)
STRESS = _Panel("stress", "stress component", "GPa", GPA)


def parity_plot(before: Parity, after: Parity) -> Figure:
    """Draw predicted against labelled values before and after a training, on the same cells."""
    panels = [ENERGY, FORCES]
    if before.stress is not None and after.stress is not None:
        panels.append(STRESS)
    figure = Figure(figsize=(4.4 * len(panels), 4.2), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axis, panel in zip(axes, panels, strict=True):
        _draw_parity(axis, panel, before, "before", BEFORE_COLOUR)
        _draw_parity(axis, panel, after, "after", AFTER_COLOUR)
        _draw_diagonal(axis)
        _name_parity_axes(axis, panel)
        axis.set_title(panel.title)
    return figure


def _draw_parity(axis: Axes, panel: _Panel, parity: Parity, name: str, colour: str) -> None:
    """Draw one model's points, with its MAE and R² in the legend."""
    errors = parity.errors.as_dict()
    mae = (errors[f"{panel.name}_mae"] or 0.0) * panel.scale
    score = _score_text(errors[f"{panel.name}_r2"])
    label = f"{name}: MAE {mae:.3g} {panel.unit}{score}"
    pair = getattr(parity, panel.name) * panel.scale
    axis.plot(*pair, ".", ms=4, alpha=0.6, color=colour, label=label)


def parities_plot(parities: Mapping[str, Parity]) -> Figure:
    """Draw predicted against labelled energies and forces of several models on the same cells."""
    panels = [ENERGY, FORCES]
    figure = Figure(figsize=(4.6 * len(panels), 4.2), layout="constrained")
    for axis, panel in zip(figure.subplots(1, len(panels)), panels, strict=True):
        for name, parity in parities.items():
            errors = parity.errors.as_dict()
            score = _score_text(errors[f"{panel.name}_r2"])
            label = f"{name}: {errors[f'{panel.name}_mae']:.3g}{score}"
            axis.plot(*getattr(parity, panel.name), ".", ms=3, alpha=0.5, label=label)
        _draw_diagonal(axis)
        _name_parity_axes(axis, panel)
        axis.set_title(f"{panel.title}; MAE in {panel.unit}")
    return figure


def _score_text(r2: float | None) -> str:
    return "" if r2 is None else f", R² {r2:.3f}"


def _draw_diagonal(axis: Axes) -> None:
    """Draw the line on which prediction and label agree."""
    limits = axis.get_xlim()
    axis.plot(limits, limits, "k-", lw=0.8)


def _name_parity_axes(axis: Axes, panel: _Panel) -> None:
    axis.set(xlabel=f"label ({panel.unit})", ylabel=f"model ({panel.unit})")
    axis.legend(fontsize=7)


def history_plot(iterations: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw energy and force errors before and after each training, with their noise.

    Parameters
    ----------
    iterations
        Documents of iterations that were evaluated on held-out cells.
    """
    figure = Figure(figsize=(7.2, 3.4), layout="constrained")
    panels = [("energy_mae", "energy MAE (meV/atom)"), ("forces_mae", "force MAE (meV/Å)")]
    for axis, (key, title) in zip(figure.subplots(1, 2), panels, strict=True):
        for when, marker in (("before", "s"), ("after", "o")):
            rows = [
                (doc["iteration"], doc["evaluate"][when])
                for doc in iterations
                if doc["evaluate"].get(when, {}).get(key) is not None
            ]
            errors = [1e3 * row[key] for _, row in rows]
            noise = [1e3 * row[key] * mae_noise(row, key) for _, row in rows]
            axis.errorbar(
                [number for number, _ in rows], errors, noise, marker=marker, capsize=3, label=when
            )
        axis.set(xlabel="iteration", ylabel=title, ylim=(0, None))
        axis.set_xticks([doc["iteration"] for doc in iterations])
        axis.legend(fontsize=8)
    return figure


def distance_plot(parities: Mapping[str, Parity], distances: Mapping[str, Array]) -> Figure:
    """Draw each cell's |energy error| against its distance from the nearest training cell.

    Parameters
    ----------
    parities
        Name of a model → its predictions.
    distances
        Name of a model → distance (n,) of each cell, in standard deviations.
    """
    figure = Figure(figsize=(5.6, 4.2), layout="constrained")
    axis = figure.subplots()
    for name, parity in parities.items():
        # meV/atom; an error of zero has no place on a logarithmic axis
        error = np.maximum(1e3 * np.abs(parity.energy[1] - parity.energy[0]), 1e-3)
        axis.loglog(distances[name], error, ".", ms=5, alpha=0.6, label=name)
    axis.set(
        xlabel="distance from the nearest training cell (standard deviations)",
        ylabel="|energy error| (meV/atom)",
    )
    axis.legend(fontsize=8)
    return figure


def calibration_plot(calibrations: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Figure:
    """Draw each held-out cell's error against the committee's spread; on the line both agree.

    Parameters
    ----------
    calibrations
        Name of a committee → "energy" or "forces" → a `Calibration` as a mapping.
    """
    units = {"energy": "meV/atom", "forces": "meV/Å"}
    quantities = [
        quantity
        for quantity in units
        if any(quantity in calibration for calibration in calibrations.values())
    ]
    figure = Figure(figsize=(4.6 * len(quantities), 4.2), layout="constrained")
    axes = figure.subplots(1, len(quantities), squeeze=False)[0]
    for axis, quantity in zip(axes, quantities, strict=True):
        for name, calibration in calibrations.items():
            if quantity in calibration:
                spread = _in_milli_units(calibration[quantity]["spread"])
                error = _in_milli_units(calibration[quantity]["error"])
                axis.loglog(spread, error, ".", ms=5, alpha=0.6, label=name)
        low = min(*axis.get_xlim(), *axis.get_ylim())
        high = max(*axis.get_xlim(), *axis.get_ylim())
        axis.loglog([low, high], [low, high], "k-", lw=0.8)
        unit = units[quantity]
        axis.set(xlabel=f"spread of the committee ({unit})", ylabel=f"error ({unit})")
        axis.set_title(quantity)
        axis.legend(fontsize=8)
    return figure


def _in_milli_units(values: Sequence[float]) -> Array:
    """Return values in meV, none of them zero, as a logarithmic axis needs them."""
    return 1e3 * np.maximum(values, 1e-9)


def curve_plot(points: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw errors against training cells: a row for each test, a column for each error.

    Bars are one standard deviation over the seeds.
    """
    tests = list(dict.fromkeys(test for point in points for test in point["errors"]))
    columns = len(ERROR_COLUMNS)
    figure = Figure(figsize=(4.2 * columns, 3.4 * len(tests)), layout="constrained")
    grid = figure.subplots(len(tests), columns, squeeze=False)
    for row, test in zip(grid, tests, strict=True):
        for axis, (quantity, (title, scale)) in zip(row, ERROR_COLUMNS.items(), strict=True):
            means = {
                key: mean.scaled(scale) for key, mean in summarise(points, test, quantity).items()
            }
            _draw_curves(axis, means)
            axis.set(xlabel="training cells", ylabel=title, title=f"{test} test")
    return figure


def _draw_curves(axis: Axes, means: Mapping[tuple[str, int], Mean]) -> None:
    """Draw the curve of each method; `means` is (method, size) → error."""
    for method in dict.fromkeys(method for method, _ in means):
        sizes = [size for other, size in means if other == method]
        draw_means(axis, sizes, [means[method, size] for size in sizes], method)
    axis.set(xscale="log", yscale="log")
    # Logarithmic axes over less than a decade have hardly a tick of their own.
    ticks = sorted({size for _, size in means})
    axis.set_xticks(ticks, [str(size) for size in ticks], minor=False)
    axis.xaxis.set_minor_locator(NullLocator())
    axis.yaxis.set_major_locator(MaxNLocator(6))
    axis.yaxis.set_minor_locator(NullLocator())
    axis.yaxis.set_major_formatter("{x:g}")
    if means:
        axis.legend(fontsize=8)


def draw_means(axis: Axes, sizes: Sequence[int], means: Sequence[Mean], label: str) -> None:
    """Draw means against sizes, with bars of one standard deviation."""
    values = [mean.mean for mean in means]
    bars = [mean.std for mean in means]
    axis.errorbar(sizes, values, bars, fmt="o-", ms=4, capsize=3, label=label)
