"""Yield by condition as heat maps of a page: accepted of explored cells, and where labels failed.

    level = ⌈5 share / largest share⌉,    share = accepted / explored

A grid of phases, temperatures, entropy weights and pressures has thousands of conditions. Two
tables show it, each summed over what it leaves out: phase and T against k, phase against P.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from entropy_flows.report.text import MISSING, general
from entropy_flows.schemas.status import ConditionCount

LEVELS = 5
"""Shades beside that of nothing."""


@dataclass(frozen=True)
class HeatCell:
    """A cell of a heat map."""

    text: str
    """What is written in it."""
    level: int
    """Its shade, from 0 to `LEVELS`."""
    title: str
    """What it says when somebody points at it."""
    bad: bool = False
    """Whether labels failed there."""


@dataclass(frozen=True)
class HeatMap:
    """A table whose cells are shaded."""

    caption: str
    """What it shows."""
    corner: str
    """What its rows and columns are."""
    columns: Sequence[str]
    """Names of the columns."""
    rows: Sequence[tuple[str, Sequence[HeatCell]]]
    """Name of a row, and its cells."""


def heat_maps(counts: Sequence[ConditionCount]) -> list[HeatMap]:
    """Build the two tables; none before anything was explored."""
    if not any(count.explored for count in counts):
        return []
    return [
        _heat_map(
            "Accepted of explored snapshots, by phase and temperature against k.",
            "phase, T \\ k",
            counts,
            lambda count: f"{count.phase or MISSING}, {general(count.temperature)} K",
            lambda count: count.k,
            "eV",
        ),
        _heat_map(
            "The same, by phase against nominal pressure.",
            "phase \\ P",
            counts,
            lambda count: count.phase or MISSING,
            lambda count: count.pressure,
            "GPa",
        ),
    ]


def _heat_map(
    caption: str,
    corner: str,
    counts: Sequence[ConditionCount],
    row_of: Callable[[ConditionCount], str],
    column_of: Callable[[ConditionCount], float | None],
    unit: str,
) -> HeatMap:
    """Sum conditions by row, in the order of the grid, and by column, from small to large."""
    groups: dict[tuple[str, float | None], list[ConditionCount]] = {}
    for count in counts:
        groups.setdefault((row_of(count), column_of(count)), []).append(count)
    columns = sorted(
        {column for _, column in groups}, key=lambda value: (value is None, value or 0)
    )
    rows = list(dict.fromkeys(row for row, _ in groups))
    largest = max(_share(group) for group in groups.values())
    return HeatMap(
        caption=caption,
        corner=corner,
        columns=[f"{general(column)} {unit}" for column in columns],
        rows=[
            (row, [_cell(groups.get((row, column), []), largest) for column in columns])
            for row in rows
        ],
    )


def _share(group: Sequence[ConditionCount]) -> float:
    explored = sum(count.explored for count in group)
    return sum(count.accepted for count in group) / explored if explored else 0.0


def _cell(group: Sequence[ConditionCount], largest: float) -> HeatCell:
    """Write the sum of some conditions; its shade is its yield beside the table's largest."""
    if not group:
        return HeatCell("", 0, "not explored")
    accepted = sum(count.accepted for count in group)
    explored = sum(count.explored for count in group)
    failed = sum(count.failed_labels for count in group)
    stopped = sum(count.stopped for count in group)
    title = f"{accepted} accepted of {explored} snapshots"
    if failed:
        title += f", {failed} labels failed"
    if stopped:
        title += f", {stopped} runs stopped early"
    level = math.ceil(LEVELS * _share(group) / largest) if largest else 0
    return HeatCell(f"{accepted}/{explored}", level, title, failed > 0)
