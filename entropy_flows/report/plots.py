"""The report's figures, each from plain arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from entropy_flows.conventions import GPA
from entropy_flows.entropy.support import populated
from entropy_flows.evaluate.curve import QUANTITIES, summarise
from entropy_flows.evaluate.errors import Parity

COLOURS = ("#9aa0a6", "#1a73e8")
"""Before and after."""


def parity_plot(before: Parity, after: Parity) -> Figure:
    """Predicted against labelled energy, forces and stress, before and after fine-tuning, on the same cells."""
    panels = [("energy", "energy", "eV/atom", 1.0), ("forces", "force component", "eV/Å", 1.0)]
    if before.stress is not None and after.stress is not None:
        panels.append(("stress", "stress component", "GPa", GPA))
    figure = Figure(figsize=(4.4 * len(panels), 4.2), layout="constrained")
    for axis, (name, title, unit, scale) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True
    ):
        for label, parity, colour in zip(
            ("before", "after"), (before, after), COLOURS, strict=True
        ):
            pair, found = getattr(parity, name) * scale, parity.errors.as_dict()
            mae, r2 = (found[f"{name}_mae"] or 0.0) * scale, found[f"{name}_r2"]
            score = "" if r2 is None else f", R² {r2:.3f}"
            axis.plot(
                *pair,
                ".",
                ms=4,
                alpha=0.6,
                color=colour,
                label=f"{label}: MAE {mae:.3g} {unit}{score}",
            )
        low, high = axis.get_xlim()
        axis.plot([low, high], [low, high], "k-", lw=0.8)
        axis.set(xlabel=f"label ({unit})", ylabel=f"model ({unit})", title=title)
        axis.legend(fontsize=7)
    return figure


def gain_plot(gains: Mapping[int, Sequence[float]], threshold: Mapping[int, float]) -> Figure:
    """ΔH of each accepted candidate in order of acceptance, an iteration beside the next."""
    figure = Figure(figsize=(7, 3.6), layout="constrained")
    axis, start = figure.subplots(), 0
    for iteration, values in gains.items():
        places = np.arange(start, start + len(values))
        axis.semilogy(places, values, ".", label=f"iteration {iteration}")
        if iteration in threshold and len(values):
            axis.hlines(threshold[iteration], start, start + len(values), colors="k", lw=0.8)
        start += len(values)
    axis.set(
        xlabel="accepted structure",
        ylabel="ΔH when accepted",
        title="information gained per label (line: θ_min)",
    )
    if gains:
        axis.legend(fontsize=8)
    return figure


def coverage_plot(features: np.ndarray, groups: Sequence[str]) -> Figure:
    """First two principal components of the cells' mean fingerprints, coloured by group.

    Parameters
    ----------
    features
        (n_cells, dim).
    groups
        A name per cell.
    """
    varying = features[
        :, np.unique(np.concatenate([[0, min(1, features.shape[1] - 1)], populated(features)]))
    ]
    centred = varying - varying.mean(axis=0)
    _, sizes, axes = np.linalg.svd(centred, full_matrices=False)
    places, share = centred @ axes[:2].T, (sizes**2 / max((sizes**2).sum(), 1e-300))[:2]
    figure = Figure(figsize=(5.6, 4.6), layout="constrained")
    axis = figure.subplots()
    for group in dict.fromkeys(groups):
        chosen = np.array([name == group for name in groups])
        axis.plot(
            places[chosen, 0],
            places[chosen, -1],
            "o",
            ms=4,
            alpha=0.7,
            label=f"{group} ({chosen.sum()})",
        )
    labels = [f"PC{n + 1} ({100 * part:.0f} % of variance)" for n, part in enumerate(share)]
    axis.set(
        xlabel=labels[0],
        ylabel=labels[-1],
        title="coverage of the data set (PCA of mean fingerprints)",
    )
    axis.legend(fontsize=8)
    return figure


def places_plot(places: np.ndarray, groups: Sequence[str], title: str) -> Figure:
    """Places (n, 2) on a map, coloured by group."""
    figure = Figure(figsize=(5.6, 4.6), layout="constrained")
    axis = figure.subplots()
    for group in dict.fromkeys(groups):
        chosen = np.array([name == group for name in groups])
        axis.plot(*places[chosen].T, "o", ms=4, alpha=0.7, label=f"{group} ({chosen.sum()})")
    axis.set(xticks=[], yticks=[], title=title)
    axis.legend(fontsize=8)
    return figure


def curve_plot(points: Sequence[Mapping[str, Any]]) -> Figure:
    """Errors against training cells: a row for each test, a column for each error, bars of one standard deviation."""
    tests = list(dict.fromkeys(test for point in points for test in point["errors"]))
    figure = Figure(figsize=(4.2 * len(QUANTITIES), 3.4 * len(tests)), layout="constrained")
    grid = figure.subplots(len(tests), len(QUANTITIES), squeeze=False)
    for row, test in zip(grid, tests, strict=True):
        for axis, (quantity, (name, scale)) in zip(row, QUANTITIES.items(), strict=True):
            found = summarise(points, test, quantity)
            for method in dict.fromkeys(method for method, _ in found):
                sizes = [size for other, size in found if other == method]
                means = [found[method, size].scaled(scale) for size in sizes]
                bars = [mean.std for mean in means]
                axis.errorbar(
                    sizes,
                    [mean.mean for mean in means],
                    bars,
                    fmt="o-",
                    ms=4,
                    capsize=3,
                    label=method,
                )
            axis.set(
                xscale="log",
                yscale="log",
                xlabel="training cells",
                ylabel=name,
                title=f"{test} test",
            )
            axis.set_xticks(
                ticks := sorted({size for _, size in found}),
                [str(size) for size in ticks],
                minor=False,
            )
            axis.xaxis.set_minor_locator(NullLocator())
            axis.yaxis.set_major_locator(MaxNLocator(6))
            axis.yaxis.set_minor_locator(NullLocator())
            axis.yaxis.set_major_formatter("{x:g}")
            if found:
                axis.legend(fontsize=8)
    return figure


def parities_plot(parities: Mapping[str, Parity]) -> Figure:
    """Predicted against labelled energies and forces of several models on the same cells, with MAE and R²."""
    panels = [("energy", "energy", "eV/atom"), ("forces", "force component", "eV/Å")]
    figure = Figure(figsize=(4.6 * len(panels), 4.2), layout="constrained")
    for axis, (name, title, unit) in zip(figure.subplots(1, len(panels)), panels, strict=True):
        for label, parity in parities.items():
            found = parity.errors.as_dict()
            score = "" if found[f"{name}_r2"] is None else f", R² {found[f'{name}_r2']:.3f}"
            axis.plot(
                *getattr(parity, name),
                ".",
                ms=3,
                alpha=0.5,
                label=f"{label}: {found[f'{name}_mae']:.3g}{score}",
            )
        low, high = axis.get_xlim()
        axis.plot([low, high], [low, high], "k-", lw=0.8)
        axis.set(
            xlabel=f"label ({unit})", ylabel=f"model ({unit})", title=f"{title}; MAE in {unit}"
        )
        axis.legend(fontsize=7)
    return figure


def distance_plot(parities: Mapping[str, Parity], distances: Mapping[str, np.ndarray]) -> Figure:
    """|energy error| of each cell against its distance from the nearest training cell."""
    figure = Figure(figsize=(5.6, 4.2), layout="constrained")
    axis = figure.subplots()
    for label, parity in parities.items():
        error = 1e3 * np.abs(parity.energy[1] - parity.energy[0])
        axis.loglog(distances[label], np.maximum(error, 1e-3), ".", ms=5, alpha=0.6, label=label)
    axis.set(
        xlabel="distance from the nearest training cell (standard deviations)",
        ylabel="|energy error| (meV/atom)",
    )
    axis.legend(fontsize=8)
    return figure


def calibration_plot(found: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Figure:
    """Error of each held-out cell against a committee's spread, a colour for each committee; on the line both agree."""
    panels = [("energy", "energy", "meV/atom", 1e3), ("forces", "forces", "meV/Å", 1e3)]
    panels = [panel for panel in panels if any(panel[0] in parts for parts in found.values())]
    figure = Figure(figsize=(4.6 * len(panels), 4.2), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axis, (name, title, unit, scale) in zip(axes, panels, strict=True):
        for label, parts in found.items():
            if name in parts:
                spread, error = (
                    scale * np.maximum(parts[name][of], 1e-9) for of in ("spread", "error")
                )
                axis.loglog(spread, error, ".", ms=5, alpha=0.6, label=label)
        low, high = (f(f(axis.get_xlim()), f(axis.get_ylim())) for f in (min, max))
        axis.loglog([low, high], [low, high], "k-", lw=0.8)
        axis.set(xlabel=f"spread of the committee ({unit})", ylabel=f"error ({unit})", title=title)
        axis.legend(fontsize=8)
    return figure


def pressure_plot(
    pressures: Sequence[float], energies: Sequence[float], groups: Sequence[str]
) -> Figure:
    """Energy per atom against realised pressure of every label."""
    figure = Figure(figsize=(5.6, 4.2), layout="constrained")
    axis = figure.subplots()
    for group in dict.fromkeys(groups):
        chosen = [n for n, name in enumerate(groups) if name == group]
        axis.plot(
            [pressures[n] for n in chosen],
            [energies[n] for n in chosen],
            "o",
            ms=4,
            alpha=0.7,
            label=group,
        )
    axis.set(xlabel="realised pressure (GPa)", ylabel="energy (eV/atom)", title="labels")
    axis.legend(fontsize=8)
    return figure


def training_plot(histories: Mapping[int, Sequence[Mapping[str, float]]]) -> Figure:
    """Training and validation loss by epoch, an iteration a colour."""
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axis = figure.subplots()
    for number, (iteration, rows) in enumerate(histories.items()):
        for name, style in (("train_loss", "--"), ("val_loss", "-")):
            epochs = [row["epoch"] for row in rows]
            label = f"{name.split('_')[0]}, iteration {iteration}"
            axis.semilogy(
                epochs, [row[name] for row in rows], style, color=f"C{number}", label=label
            )
    axis.set(xlabel="epoch", ylabel="weighted loss", title="fine-tuning")
    if histories:
        axis.legend(fontsize=8)
    return figure
