"""Draw the figure that opens docs/evidence.md, from the rows of docs/evidence/summary.json.

Example: python evidence/overview.py
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from shared import SUMMARY

FIGURE = SUMMARY.with_name("overview.png")
POOLS = ("silicon", "germanium")
STUDENTS = ("linear", "gp")
SELECTORS = {"variance": "#1f77b4", "kmeans": "#7f7f7f", "logdet": "#c0504d"}
LABELS = {"variance": "variance", "kmeans": "k-means", "logdet": "log det (ΔH)"}
QUANTITIES = {
    "energy_mae": "energy MAE",
    "energy_p95": "energies' 95th percentile",
    "forces_mae": "force MAE",
}
SIZES = (20, 40, 80)


def main() -> None:
    """Draw what there is."""
    rows = [row for row in json.loads(SUMMARY.read_text()) if row["script"] == "pools.py"]
    fig, axes = plt.subplots(1, len(QUANTITIES), figsize=(9.6, 3.4), sharey=True)
    for axis, (quantity, title) in zip(axes, QUANTITIES.items(), strict=True):
        for selector in SELECTORS:
            draw(axis, rows, selector, quantity)
        axis.axhline(1.0, color="black", linewidth=0.8)
        axis.set_title(title, fontsize=10)
        axis.set_xscale("log")
        axis.set_xticks(SIZES, [str(size) for size in SIZES])
        axis.minorticks_off()
        axis.set_xlabel("cells labelled by DFT")
    axes[0].set_ylabel("error ÷ that of a random choice")
    axes[0].legend(fontsize=8, frameon=False)
    fig.tight_layout()
    fig.savefig(FIGURE, dpi=150)


def draw(axis: Any, rows: Sequence[dict[str, Any]], selector: str, quantity: str) -> None:
    """Draw one selector: its mean as a line, each pool and student as a dot."""
    ratios: dict[int, list[float]] = defaultdict(list)
    for size, ratio in ratios_of(rows, selector, quantity):
        ratios[size].append(ratio)
    # a selector that ends early has no mean over all of them
    complete = [size for size in SIZES if len(ratios[size]) == len(POOLS) * len(STUDENTS)]
    means = [float(np.exp(np.mean(np.log(ratios[size])))) for size in complete]
    color = SELECTORS[selector]
    axis.plot(complete, means, color=color, marker="o", label=LABELS[selector])
    for size in complete:
        axis.plot([size] * len(ratios[size]), ratios[size], ".", color=color, alpha=0.4)


def ratios_of(
    rows: Sequence[dict[str, Any]], selector: str, quantity: str
) -> Iterator[tuple[int, float]]:
    """Yield N and the ratio to a random choice, of each pool and student."""
    for row in rows:
        is_of_figure = row["system"] in POOLS and row["student"] in STUDENTS and row["N"] in SIZES
        is_of_line = (row["selector"], row["quantity"]) == (selector, f"{quantity} ÷ random")
        if is_of_figure and is_of_line:
            yield row["N"], row["value"]


if __name__ == "__main__":
    main()
