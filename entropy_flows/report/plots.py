"""Figures of a campaign: gains, coverage of the data set, labels, and training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from entropy_flows.conventions import Array
from entropy_flows.report.fingerprint_map import principal_components


def gain_plot(gains: Mapping[int, Sequence[float]], thresholds: Mapping[int, float]) -> Figure:
    """Draw ΔH of each accepted candidate in order of acceptance, one iteration after the other.

    Parameters
    ----------
    gains
        Iteration → ΔH of its accepted candidates.
    thresholds
        Iteration → θ_min, drawn as a line.
    """
    figure = Figure(figsize=(7, 3.6), layout="constrained")
    axis = figure.subplots()
    start = 0
    for iteration, values in gains.items():
        end = start + len(values)
        axis.semilogy(np.arange(start, end), values, ".", label=f"iteration {iteration}")
        # The threshold of an iteration that accepted nothing would be a line of no length.
        if iteration in thresholds and len(values):
            axis.hlines(thresholds[iteration], start, end, colors="k", lw=0.8)
        start = end
    axis.set(
        xlabel="accepted structure",
        ylabel="ΔH when accepted",
        title="information gained per label (line: θ_min)",
    )
    if gains:
        axis.legend(fontsize=8)
    return figure


def coverage_plot(features: Array, groups: Sequence[str]) -> Figure:
    """Draw the first two principal components of the cells' mean fingerprints, by group.

    Parameters
    ----------
    features
        Mean fingerprints (n_cells, dim).
    groups
        Name of each cell's group.
    """
    points, shares = principal_components(features)
    figure = Figure(figsize=(5.6, 4.6), layout="constrained")
    axis = figure.subplots()
    for group, members in _grouped(groups):
        label = f"{group} ({members.sum()})"
        _draw_points(axis, points[members, 0], points[members, 1], label)
    labels = component_labels(shares)
    title = "coverage of the data set (PCA of mean fingerprints)"
    axis.set(xlabel=labels[0], ylabel=labels[1], title=title)
    axis.legend(fontsize=8)
    return figure


def component_labels(shares: Sequence[float] | Array) -> list[str]:
    """Name principal components by their shares of the variance."""
    return [
        f"PC{number} ({100 * share:.0f} % of variance)" for number, share in enumerate(shares, 1)
    ]


def map_plot(points: Array, groups: Sequence[str], title: str) -> Figure:
    """Draw a map of cells (n, 2), by group."""
    figure = Figure(figsize=(5.6, 4.6), layout="constrained")
    axis = figure.subplots()
    for group, members in _grouped(groups):
        label = f"{group} ({members.sum()})"
        _draw_points(axis, points[members, 0], points[members, 1], label)
    axis.set(xticks=[], yticks=[], title=title)
    axis.legend(fontsize=8)
    return figure


def training_plot(histories: Mapping[int, Sequence[Mapping[str, float]]]) -> Figure:
    """Draw training and validation loss by epoch, one colour for each iteration.

    Parameters
    ----------
    histories
        Iteration → a mapping for each epoch: `epoch`, `train_loss`, `val_loss`.
    """
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axis = figure.subplots()
    for index, (iteration, rows) in enumerate(histories.items()):
        epochs = [row["epoch"] for row in rows]
        for side, style in (("train", "--"), ("val", "-")):
            losses = [row[f"{side}_loss"] for row in rows]
            label = f"{side}, iteration {iteration}"
            axis.semilogy(epochs, losses, style, color=f"C{index}", label=label)
    axis.set(xlabel="epoch", ylabel="weighted loss", title="fine-tuning")
    if histories:
        axis.legend(fontsize=8)
    return figure


def _grouped(groups: Sequence[str]) -> Iterator[tuple[str, np.ndarray]]:
    """Yield each group and a mask of its members."""
    for group in dict.fromkeys(groups):
        yield group, np.array([name == group for name in groups])


def _draw_points(axis: Axes, x: Array, y: Array, label: str) -> None:
    axis.plot(x, y, "o", ms=4, alpha=0.7, label=label)
