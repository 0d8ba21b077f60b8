"""Table, figure and page of trajectories that are graded against a data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from io import StringIO
from pathlib import Path

import numpy as np
from ase.io import write
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from entropy_flows.evaluate.novelty import Novelty
from entropy_flows.evaluate.novelty_trajectory import GradedTrajectory, binned
from entropy_flows.files import whole_file, write_json
from entropy_flows.report.page import CaptionedFigure, Table, write_report
from entropy_flows.report.text import MISSING

MAX_POINTS = 1000
"""Points of a line of the figure at most; a bin shows its mean and its maximum."""
WORST_FILE = "worst.extxyz"


def novelty_table(trajectories: Sequence[GradedTrajectory]) -> Table:
    """Build the table with a row for each trajectory."""
    above = f"{trajectories[0].above:g}"
    header = ["trajectory", "frames", "median γ", "95 % of γ", "worst γ", "at frame, atom"]
    header += [f"frames above {above}", f"first above {above}", f"atoms above {above}"]
    rows = [header]
    for trajectory in trajectories:
        summary = trajectory.summary()
        first = MISSING if summary.first_above is None else f"frame {summary.first_above}"
        rows.append(
            [
                trajectory.name,
                str(summary.frames),
                f"{summary.median:.2f}",
                f"{summary.high:.2f}",
                f"{summary.worst:.2f}",
                f"{summary.worst_frame}, {summary.worst_atom}",
                f"{summary.share_above:.1%}",
                first,
                f"{summary.atoms_above:.2%}",
            ]
        )
    note = (
        "γ of a frame is that of its worst atom; 1 is the edge of the data set. "
        "A distance from the data, not an error bar. Frames and atoms count from 0."
    )
    return Table("Novelty", rows, note)


def known_line(novelty: Novelty) -> str:
    """Describe the data set in a line."""
    share = 100 * (1 - novelty.level)
    line = (
        f"known: {novelty.counts}; of further atoms like these {share:.3g} % would be above γ = 1"
    )
    return f"{line}; γ is a last-layer uncertainty" if novelty.measure == "llpr" else line


def write_novelty_page(
    folder: Path, trajectories: Sequence[GradedTrajectory], novelty: Novelty
) -> Path:
    """Write the page, its numbers as `novelty.json`, and the worst frames as `worst.extxyz`.

    Parameters
    ----------
    folder
        Created if it is missing.
    trajectories
        The trajectories; one frame at least in each.
    novelty
        The data set that they were graded against.

    Returns
    -------
    Path
        The HTML file.
    """
    caption = (
        "Above: γ of each frame (its worst atom). Below: share of its atoms above the limit. "
        "Of a long trajectory, lines are means of bins and the shade ends at their maxima."
    )
    figures = {"novelty": CaptionedFigure(novelty_plot(trajectories), caption)}
    tables = [novelty_table(trajectories)]
    page = write_report(folder, "Novelty of trajectories", known_line(novelty), [], tables, figures)
    numbers = {
        "dataset": novelty.dataset.model_dump(mode="json"),
        "level": novelty.level,
        "measure": novelty.measure,
        "edges": novelty.edges,
        "trajectories": {
            one.name: {
                "above": one.above,
                **asdict(one.summary()),
                "grades": [float(f"{grade:.5g}") for grade in one.grades],
                "numbers": list(one.frames),
                "atoms": list(one.atoms),
            }
            for one in trajectories
        },
    }
    write_json(folder / "novelty.json", numbers)
    text = StringIO()
    write(text, [frame for one in trajectories for frame in one.worst_frames], format="extxyz")
    with whole_file(folder / WORST_FILE) as file:
        file.write(text.getvalue().encode())
    return page


def novelty_plot(trajectories: Sequence[GradedTrajectory]) -> Figure:
    """Draw γ and the share of atoms above the limit over the frames of each trajectory."""
    figure = Figure(figsize=(8, 5.2), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    for number, trajectory in enumerate(trajectories):
        color = f"C{number}"
        starts, means, maxima = binned(np.array(trajectory.grades), MAX_POINTS)
        top.fill_between(starts, means, maxima, color=color, alpha=0.3, lw=0)
        top.semilogy(starts, means, color=color, lw=1, label=trajectory.name)
        starts, means, _ = binned(100 * np.array(trajectory.shares), MAX_POINTS)
        bottom.plot(starts, means, color=color, lw=1)
    top.axhline(1.0, color="k", lw=0.8, ls="--")
    above = trajectories[0].above
    if above != 1:
        top.axhline(above, color="k", lw=0.8, ls=":")
    top.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    top.yaxis.set_major_formatter("{x:g}")
    top.yaxis.set_minor_formatter(NullFormatter())
    top.set(ylabel="γ of the worst atom", title="distance from the data set (dashed: its edge)")
    bottom.set(xlabel="frame", ylabel=f"atoms above {above:g} (%)")
    top.legend(fontsize=8)
    return figure
