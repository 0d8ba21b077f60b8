"""A data set without physics in figures: what its cells are like, and what they tell beside random ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
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
    """Histograms as in Subramanyam 2025's Fig. S1.

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
    axes[0].hist(sizes, np.arange(sizes.min() - 0.5, sizes.max() + 1))
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
    axes[5].hist2d(
        volumes, sizes, (BINS // 2, np.arange(sizes.min() - 0.5, sizes.max() + 1)), cmin=1
    )
    axes[5].set(xlabel="volume per atom (Å³)", ylabel="atoms in the cell", title="cells")
    return figure


def information_plot(runs: Sequence[Mapping[str, Any]]) -> Figure:
    """log det Σ of each run's cells against their number, beside random cells of the same window.

    Parameters
    ----------
    runs
        Each with `window`, `mode`, and log det Σ after each cell: `entropies`, and `random` for
        random cells.
    """
    modes = list(dict.fromkeys(run["mode"] for run in runs))
    order = sorted({run["window"] for run in runs})
    figure = Figure(figsize=(6 * len(modes), 4.6), layout="constrained")
    for axis, mode in zip(figure.subplots(1, len(modes), squeeze=False)[0], modes, strict=True):
        for run in runs:
            if run["mode"] == mode:
                colour = colormaps["viridis"](order.index(run["window"]) / max(1, len(order) - 1))
                count = np.arange(1, len(run["entropies"]) + 1)
                axis.plot(
                    count, run["entropies"], color=colour, lw=1.4, label=f"window {run['window']}"
                )
                axis.plot(count[: len(run["random"])], run["random"], color=colour, lw=0.9, ls="--")
        axis.set(
            xlabel="cells",
            ylabel="log det Σ",
            title=f"per {mode}; dashed: random cells of the window",
        )
        handles, names = axis.get_legend_handles_labels()
        once = dict(zip(names, handles, strict=True))
        axis.legend(once.values(), once.keys(), fontsize=6, ncols=2)
    return figure
