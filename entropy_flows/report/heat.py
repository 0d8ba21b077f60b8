"""Tables by condition as heat maps: accepted of explored cells, and labels that failed.

A grid of phases, temperatures, entropy weights and pressures has thousands of conditions. Two
tables show it, each summed over what it leaves out: phase and T against k, phase against P.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from entropy_flows.report.text import MISSING

LEVELS = 5
"""Shades beside that of nothing."""
Condition = tuple[str | None, float | None, float | None, float | None]
"""Phase, temperature (K), k (eV) and nominal pressure (GPa)."""


@dataclass
class ConditionCount:
    """The snapshots of one condition, by what became of them."""

    explored: int = 0
    """Snapshots that were candidates."""
    accepted: int = 0
    """Those that selection or refinement took."""
    failed: int = 0
    """Labels that failed."""
    stopped: int = 0
    """Runs that stopped early."""

    def add(self, other: ConditionCount) -> None:
        """Add the counts of another condition."""
        self.explored += other.explored
        self.accepted += other.accepted
        self.failed += other.failed
        self.stopped += other.stopped


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
    """Whether something failed there."""


@dataclass(frozen=True)
class HeatMap:
    """A table whose cells are shaded."""

    caption: str
    """What it shows."""
    corner: str
    """What its rows and columns are."""
    columns: Sequence[str]
    """Names of the columns."""
    rows: Sequence[tuple[str, Sequence[HeatCell]]] = field(default_factory=list)
    """Name of a row, and its cells."""


def condition_counts(
    iterations: Iterable[Mapping[str, Any]],
    accepted: Iterable[Mapping[str, Any]],
    failed: Iterable[Mapping[str, Any]],
) -> dict[Condition, ConditionCount]:
    """Count by condition.

    Parameters
    ----------
    iterations
        Documents with the runs of each iteration.
    accepted
        Origins of the entries that selection and refinement took.
    failed
        Conditions of the labels that failed.
    """
    counts: dict[Condition, ConditionCount] = {}
    for doc in iterations:
        for run in doc.get("runs") or []:
            count = counts.setdefault(_condition(run), ConditionCount())
            count.explored += run["snapshots"]
            count.stopped += bool(run["reason"])
    for origin in accepted:
        counts.setdefault(_condition(origin), ConditionCount()).accepted += 1
    for condition in failed:
        counts.setdefault(_condition(condition), ConditionCount()).failed += 1
    return counts


def heat_maps(counts: Mapping[Condition, ConditionCount]) -> list[HeatMap]:
    """Build the two tables; none without conditions."""
    if not any(count.explored for count in counts.values()):
        return []
    return [
        _heat_map(
            "Accepted of explored snapshots, by phase and temperature against k.",
            "phase, T \\ k",
            "{} eV",
            {c: (f"{c[0] or MISSING}, {_text(c[1])} K", c[2]) for c in counts},
            counts,
        ),
        _heat_map(
            "The same, by phase against nominal pressure.",
            "phase \\ P",
            "{} GPa",
            {c: (c[0] or MISSING, c[3]) for c in counts},
            counts,
        ),
    ]


def _heat_map(
    caption: str,
    corner: str,
    column_words: str,
    cells: Mapping[Condition, tuple[str, float | None]],
    counts: Mapping[Condition, ConditionCount],
) -> HeatMap:
    """Sum conditions by row and column, in the order of the grid."""
    sums: dict[tuple[str, float | None], ConditionCount] = {}
    for condition, cell in cells.items():
        sums.setdefault(cell, ConditionCount()).add(counts[condition])
    columns = sorted({column for _, column in sums}, key=lambda value: (value is None, value or 0))
    rows = list(dict.fromkeys(row for row, _ in sums))
    most = max((count.accepted / max(count.explored, 1) for count in sums.values()), default=0.0)
    return HeatMap(
        caption=caption,
        corner=corner,
        columns=[column_words.format(_text(column)) for column in columns],
        rows=[(row, [_cell(sums.get((row, column)), most) for column in columns]) for row in rows],
    )


def _cell(count: ConditionCount | None, most: float) -> HeatCell:
    """Write one cell; its shade is its yield beside the largest yield of the table."""
    if count is None:
        return HeatCell("", 0, "not explored")
    share = count.accepted / count.explored if count.explored else 0.0
    level = 0 if not count.accepted else max(1, round(LEVELS * min(1.0, share / most)))
    title = f"{count.accepted} accepted of {count.explored} snapshots"
    if count.failed:
        title += f", {count.failed} labels failed"
    if count.stopped:
        title += f", {count.stopped} runs stopped early"
    return HeatCell(f"{count.accepted}/{count.explored}", level, title, bool(count.failed))


def _condition(values: Mapping[str, Any]) -> Condition:
    return (
        values.get("phase"),
        values.get("temperature"),
        values.get("k"),
        values.get("pressure"),
    )


def _text(value: float | None) -> str:
    return MISSING if value is None else f"{value:g}"
