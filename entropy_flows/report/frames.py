"""Tables, figures and page of frames that were chosen from files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from entropy_flows.entropy import MODES, Mode
from entropy_flows.files import write_json
from entropy_flows.frames.choice import Coverage, FrameChoice, quantiles
from entropy_flows.report.page import CaptionedFigure, Table, write_report
from entropy_flows.report.text import number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLES: dict[Mode, str] = {"atom": "per atom", "config": "per configuration"}
MAX_SOURCES = 12
"""Files that have a row of their own."""
BARS = "▁▂▃▄▅▆▇█"
MAX_BARS = 60
MAX_GAIN_ROWS = 8


def choice_tables(choice: FrameChoice) -> list[Table]:
    """Build the tables of what was read and chosen, of the gains, and of what is covered."""
    tables = [_source_table(choice)]
    if choice.frames:
        tables.append(_gain_table(choice))
    tables.append(_coverage_table(choice.coverage, choice.unknown))
    return tables


def _source_table(choice: FrameChoice) -> Table:
    """Build the table of files, those that most was chosen from first."""
    header = ["file", "frames", "unusable", "known", "chosen"]
    counts = [
        (source.name, source.frames, source.unusable, source.copies, source.chosen)
        for source in choice.sources
    ]
    if len(counts) > MAX_SOURCES:
        counts.sort(key=lambda row: -row[4])
        others = counts[MAX_SOURCES - 1 :]
        counts = counts[: MAX_SOURCES - 1]
        sums = [sum(column) for column in list(zip(*others, strict=True))[1:]]
        counts.append((f"{len(others)} other files", sums[0], sums[1], sums[2], sums[3]))
    rows = [[row[0], *map(str, row[1:])] for row in counts]
    if len(rows) > 1:
        totals = [
            sum(getattr(source, name) for source in choice.sources)
            for name in ("frames", "unusable", "copies", "chosen")
        ]
        rows.append(["together", *map(str, totals)])
    note = f"known: cells of the data set of {choice.dataset_size}, which are not chosen again."
    return Table("Frames", [header, *rows], note)


def _gain_table(choice: FrameChoice) -> Table:
    """Build the table of gains at some ranks."""
    gains = choice.gains
    ranks = np.unique(np.geomspace(1, len(gains), MAX_GAIN_ROWS).round().astype(int))
    sums = np.cumsum(gains)
    rows = [["rank", "ΔH", "sum"]]
    rows += [[str(rank), f"{gains[rank - 1]:.3f}", f"{sums[rank - 1]:.2f}"] for rank in ranks]
    return Table("Gain of each", rows, "ΔH: what a frame adds to log det Σ per configuration.")


def sparkline(values: Sequence[float]) -> str:
    """Draw values as a line of bars, means of neighbours where there are many."""
    pieces = np.array_split(np.asarray(values, dtype=float), min(len(values), MAX_BARS))
    means = np.array([piece.mean() for piece in pieces])
    low = means.min()
    span = max(float(means.max() - low), 1e-300)
    levels = ((means - low) / span * (len(BARS) - 1)).round().astype(int)
    return "".join(BARS[level] for level in levels)


def _coverage_table(coverage: Coverage, unknown: tuple[float, float] | None) -> Table:
    """Build the table of log det Σ, distances and the unknown of a target, before and after."""
    rows = [["", "before", "after"]]
    for mode in MODES:
        before = None if coverage.entropy_before is None else coverage.entropy_before[mode]
        after = coverage.entropy_after[mode]
        rows.append([f"log det Σ, {TITLES[mode]}", number(before, 1), number(after, 1)])
    names = ("distance to the nearest, median", "distance to the nearest, 95 %")
    before_values = (None, None) if coverage.before is None else quantiles(coverage.before)
    after_values = (None, None) if coverage.after is None else quantiles(coverage.after)
    for name, first, last in zip(names, before_values, after_values, strict=True):
        rows.append([name, number(first, 2), number(last, 2)])
    if unknown is not None:
        rows.append(["unknown of the target, %", *(number(100 * share, 2) for share in unknown)])
    note = (
        f"Distances of {len(coverage.points)} frames of the pool to the data set, in standard "
        "deviations of the pool."
    )
    return Table("Coverage", rows, note)


def headline(choice: FrameChoice) -> str:
    """Say in one line what was chosen."""
    frames = sum(source.frames for source in choice.sources)
    reason = f"; {choice.reason}" if choice.reason else ""
    return f"{len(choice.frames)} of {frames} frames chosen by {choice.selector}{reason}"


def write_choice_page(folder: Path, choice: FrameChoice) -> Path:
    """Write the page of a choice, with its numbers as `choice.json`.

    Returns
    -------
    Path
        The HTML file.
    """
    coverage = choice.coverage
    figures = {
        "map": CaptionedFigure(
            map_of(coverage), "The pool, the data set and the choice: principal components."
        )
    }
    if choice.frames:
        caption = "ΔH of each frame in the order of choosing, and their sum."
        figures["gains"] = CaptionedFigure(gain_curve(choice.gains), caption)
    if coverage.after is not None:
        caption = "How far frames of the pool are from the nearest cell of the data set."
        figures["distances"] = CaptionedFigure(distance_plot(coverage), caption)
    tables = choice_tables(choice)
    title = "Chosen frames"
    page = write_report(folder, title, headline(choice), [], tables, figures)
    write_json(folder / "choice.json", _numbers(choice))
    return page


def _numbers(choice: FrameChoice) -> dict[str, object]:
    """Return what `choice.json` holds."""
    coverage = choice.coverage
    return {
        "selector": choice.selector,
        "fingerprint": choice.fingerprint.settings,
        "data_set": choice.dataset_size,
        "unknown_of_target": choice.unknown,
        "reason": choice.reason,
        "sources": [vars(source) for source in choice.sources],
        "chosen": [
            {"source": each.source, "frame": each.frame, "rank": each.rank, "gain": each.gain}
            for each in choice.frames
        ],
        "log_det": {"before": coverage.entropy_before, "after": coverage.entropy_after},
    }


def gain_curve(gains: Sequence[float]) -> Figure:
    """Draw the gain of each frame, and their sum."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axis = figure.subplots()
    ranks = np.arange(1, len(gains) + 1)
    axis.plot(ranks, gains, ".", color="#1a73e8")
    axis.set(xlabel="rank", ylabel="ΔH when chosen", title="gain of each frame")
    right = axis.twinx()
    right.plot(ranks, np.cumsum(gains), color="#9aa0a6")
    right.set_ylabel("sum")
    return figure


def distance_plot(coverage: Coverage) -> Figure:
    """Draw how distances to the nearest cell of the data set are distributed."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axis = figure.subplots()
    for distances, label in ((coverage.before, "before"), (coverage.after, "after")):
        if distances is not None:
            axis.hist(distances, bins=60, histtype="step", label=label)
    axis.set(xlabel="distance, standard deviations of the pool", ylabel="frames of the pool")
    axis.legend(fontsize=8)
    return figure


def map_of(coverage: Coverage) -> Figure:
    """Draw pool, data set and choice on the pool's first two principal components."""
    from matplotlib.figure import Figure

    centre = coverage.points.mean(axis=0)
    axes = np.linalg.svd(coverage.points - centre, full_matrices=False)[2][:2]
    figure = Figure(figsize=(5.6, 4.6), layout="constrained")
    axis = figure.subplots()
    groups = (
        (coverage.points, ".", "#c8ccd0", "pool"),
        (coverage.dataset, "s", "#5f6368", "data set"),
        (coverage.chosen, "o", "#1a73e8", "chosen"),
    )
    for means, marker, colour, label in groups:
        if len(means):
            plane = (means - centre) @ axes.T
            size = 2 if label == "pool" else 4
            axis.plot(
                plane[:, 0], plane[:, -1], marker, ms=size, color=colour, label=label, ls="none"
            )
    axis.set(xlabel="PC1", ylabel="PC2", title="mean fingerprints")
    axis.legend(fontsize=8)
    return figure
