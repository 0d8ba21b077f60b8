"""The tables in one picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.ticker import LogLocator, NullFormatter
from PIL import Image

WIDTH = 9


def draw(results: Path, picture: Path) -> None:
    """Draw what has been measured so far.

    Parameters
    ----------
    results
        The report's JSON file.
    picture
        File to write.
    """
    sections = json.loads(results.read_text())
    found = {name: section["tables"][0] for name, section in sections.items()}
    mpl.use("Agg")
    figure, axes = plt.subplots(2, 2, figsize=(WIDTH, 7), layout="constrained")
    for (name, panel), axis in zip(PANELS.items(), axes.flat, strict=True):
        if name in found:
            panel(axis, found[name])
            axis.set_xticks(sorted(set(column(found[name], found[name]["columns"][0]))))
            if axis.get_yscale() == "log":
                axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            for ticks in (axis.xaxis, axis.yaxis):
                ticks.set_major_formatter("{x:,g}")
                ticks.set_minor_formatter(NullFormatter())
            axis.grid(alpha=0.2)
            axis.legend(frameon=False)
    figure.savefig(picture, dpi=90)
    plt.close(figure)
    with Image.open(picture) as image:
        image.convert("P", palette=Image.Palette.ADAPTIVE, colors=32).save(picture, optimize=True)


def explorations(axis: Any, table: dict[str, Any]) -> None:
    """Body and overhead of a trajectory."""
    for color, size in zip(("C0", "C1"), sorted(set(column(table, "a job"))), strict=True):
        rows = [row for row in table["rows"] if row[1] == size]
        for name, style in (("body", "s:"), ("overhead", "o-")):
            axis.loglog(
                *points(table, rows, f"{name}, ms a trajectory"),
                color + style,
                label=f"{name}, {size} a job",
            )
    axis.set(title="exploration", xlabel="conditions", ylabel="ms a trajectory")


def labels(axis: Any, table: dict[str, Any]) -> None:
    """Overhead of a label."""
    for size in sorted(set(column(table, "a job"))):
        rows = [row for row in table["rows"] if row[1] == size]
        axis.loglog(*points(table, rows, "overhead, ms a label"), "o-", label=f"{size} a job")
    axis.set(title="labels", xlabel="labels", ylabel="overhead, ms a label")


def workers(axis: Any, table: dict[str, Any]) -> None:
    """Jobs per second."""
    for name in ("label", "empty"):
        axis.plot(*points(table, table["rows"], f"{name} jobs/s"), "o-", label=f"{name} jobs")
    axis.set(title="workers on two cores", xlabel="workers", ylabel="jobs/s", ylim=(0, None))


def units(axis: Any, table: dict[str, Any]) -> None:
    """FireWorks' own time for a job."""
    for name in ("taking a job", "ending it"):
        axis.loglog(*points(table, table["rows"], f"{name}, ms"), "o-", label=name)
    axis.set(title="FireWorks", xlabel="jobs in the workflow", ylabel="ms")


def points(table: dict[str, Any], rows: list[list[Any]], name: str) -> tuple[list[Any], list[Any]]:
    """First column of these rows, and the column of this name."""
    return [row[0] for row in rows], [row[table["columns"].index(name)] for row in rows]


def column(table: dict[str, Any], name: str) -> list[Any]:
    """A column."""
    return points(table, table["rows"], name)[1]


PANELS = {"conditions": explorations, "labels": labels, "workers": workers, "units": units}
"""Section → what draws its first table."""
