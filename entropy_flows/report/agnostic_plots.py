"""Figures of a data set that was built without physics: its cells, and their information."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from entropy_flows.conventions import Array

BINS = 60


def distributions_plot(
    sizes: Array,
    volumes: Array,
    nearest: Array,
    coordination: Array,
    voronoi: Array,
    closest: float,
) -> Figure:
    """Draw histograms as in Subramanyam 2025, Fig. S1.

    Parameters
    ----------
    sizes, volumes
        Atoms, and volume per atom (Å³), of each cell.
    nearest, coordination
        Distance of the nearest neighbour (Å) and coordination number of each atom.
    voronoi
        Voronoi volume (Å³) of the atoms of some of the cells.
    closest
        Smallest R_min of the windows (Å).
    """
    figure = Figure(figsize=(12, 6.4), layout="constrained")
    axes = figure.subplots(2, 3).ravel()
    size_edges = np.arange(sizes.min() - 0.5, sizes.max() + 1)
    axes[0].hist(sizes, size_edges)
    axes[0].set(xlabel="atoms in the cell", ylabel="cells")
    axes[1].hist(volumes, BINS)
    axes[1].set(xlabel="volume per atom (Å³)", ylabel="cells")
    axes[2].hist(voronoi, BINS)
    axes[2].set(xlabel="Voronoi volume (Å³)", ylabel="atoms")
    axes[3].hist(nearest[np.isfinite(nearest)], BINS)
    axes[3].axvline(closest, color="k", lw=0.8, ls="--", label="smallest R_min")
    axes[3].set(xlabel="nearest neighbour (Å)", ylabel="atoms")
    axes[3].legend(fontsize=8)
    axes[4].hist(coordination, np.arange(-0.5, coordination.max() + 1.5))
    axes[4].set(xlabel="coordination number", ylabel="atoms")
    axes[5].hist2d(volumes, sizes, (BINS // 2, size_edges), cmin=1)
    axes[5].set(xlabel="volume per atom (Å³)", ylabel="atoms in the cell", title="cells")
    return figure


def information_plot(searches: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw log det Σ of each search's cells against their number, beside random cells.

    Parameters
    ----------
    searches
        Each with `window`, `mode`, and log det Σ after each cell: `entropies` of its own cells,
        `random` of random cells of the same window.
    """
    modes = list(dict.fromkeys(search["mode"] for search in searches))
    windows = sorted({search["window"] for search in searches})
    figure = Figure(figsize=(6 * len(modes), 4.6), layout="constrained")
    for axis, mode in zip(figure.subplots(1, len(modes), squeeze=False)[0], modes, strict=True):
        for search in searches:
            if search["mode"] == mode:
                position = windows.index(search["window"]) / max(1, len(windows) - 1)
                _draw_search(axis, search, colormaps["viridis"](position))
        title = f"per {mode}; dashed: random cells of the window"
        axis.set(xlabel="cells", ylabel="log det Σ", title=title)
        # The parts of one window have the same label: the legend names it once.
        handles, names = axis.get_legend_handles_labels()
        by_name = dict(zip(names, handles, strict=True))
        axis.legend(by_name.values(), by_name.keys(), fontsize=6, ncols=2)
    return figure


def _draw_search(axis: Axes, search: Mapping[str, Any], colour: Any) -> None:
    count = np.arange(1, len(search["entropies"]) + 1)
    label = f"window {search['window']}"
    axis.plot(count, search["entropies"], color=colour, lw=1.4, label=label)
    random_count = count[: len(search["random"])]
    axis.plot(random_count, search["random"], color=colour, lw=0.9, ls="--")
