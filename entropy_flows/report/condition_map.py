"""A map of the conditions of a campaign as blocks, for a terminal of any width.

    share = accepted / explored,    level = ⌈4 share / largest share⌉

Rows are phases and temperatures, columns weights k and pressures, as far as there is room. Where
there is none, counts are added up over one or two of the four, and a line says over which.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from entropy_flows.report.text import MISSING
from entropy_flows.schemas.status import ConditionCount

LAYOUTS: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (("phase", "temperature"), ("k", "pressure")),
    (("phase",), ("k", "pressure")),
    (("phase",), ("temperature", "k")),
    (("phase", "temperature"), ("k",)),
    (("phase",), ("temperature", "pressure")),
    (("phase", "temperature"), ("pressure",)),
    (("phase",), ("k",)),
    (("phase",), ("temperature",)),
    (("temperature",), ("k",)),
)
"""Fields of the rows and of the columns; the first layout that fits is taken."""
NAMES = {"phase": "phase", "temperature": "T", "k": "k", "pressure": "P"}
UNITS = {"phase": "", "temperature": " K", "k": " eV", "pressure": " GPa"}
MAX_ROWS = 30
"""Most rows of blocks."""
MAX_NAME = 12
"""Longest name of a phase (characters) that is written whole."""
MARKED_SHARE = 0.25
"""Share of a block's conditions with failures from which on it is marked."""
CELL = 2
"""Characters of a block: its shade, and a mark or the shade again."""
LEVELS = 4
UNICODE = ("·", "░", "▒", "▓", "█", "×")
ASCII = (".", "-", "=", "%", "#", "x")
"""Signs of no accepted candidate, of four levels, and of failures."""


@dataclass
class Block:
    """Counts of the conditions that one block stands for."""

    explored: int = 0
    accepted: int = 0
    conditions: int = 0
    failing: int = 0
    """Conditions with runs that stopped early or labels that failed."""

    def add(self, count: ConditionCount) -> None:
        """Add the counts of a condition."""
        self.explored += count.explored
        self.accepted += count.accepted
        self.conditions += 1
        self.failing += count.failures > 0

    @property
    def share(self) -> float:
        """Accepted candidates of those explored."""
        return self.accepted / self.explored if self.explored else 0.0

    @property
    def is_marked(self) -> bool:
        """True if many of the conditions had failures."""
        return self.failing > 0 and self.failing >= MARKED_SHARE * self.conditions


@dataclass(frozen=True)
class ConditionMap:
    """The map of some conditions, which finds its layout when the width is known."""

    counts: Sequence[ConditionCount]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the lines of the map."""
        yield from map_lines(self.counts, options.max_width, _signs(options.encoding))


def map_lines(
    counts: Sequence[ConditionCount], width: int, signs: Sequence[str] = UNICODE
) -> list[Text]:
    """Write the map in lines that are not longer than a width; no lines without conditions.

    Parameters
    ----------
    counts
        What each condition has given.
    width
        Characters of a line.
    signs
        `UNICODE` or `ASCII`.
    """
    if not counts:
        return []
    layouts = [_Layout.of(counts, rows, columns) for rows, columns in LAYOUTS]
    fitting = [each for each in layouts if each.width <= width and len(each.rows) <= MAX_ROWS]
    if not fitting:
        return [Text(f"{len(counts)} conditions: too many for a map of {width} characters")]
    return fitting[0].lines(signs, width)


@dataclass(frozen=True)
class _Layout:
    """One way to lay out the map.

    Attributes
    ----------
    row_fields, column_fields
        One or two fields each; the second is within the first.
    rows, groups, members
        Values of the rows, of the first column field, and of the second one; of a single column
        field `groups` has one value, None, and `members` the field's.
    blocks
        Row, group and member → counts.
    """

    row_fields: tuple[str, ...]
    column_fields: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    groups: list[Any]
    members: list[Any]
    blocks: dict[tuple[Any, ...], Block]

    @classmethod
    def of(
        cls, counts: Sequence[ConditionCount], rows: tuple[str, ...], columns: tuple[str, ...]
    ) -> _Layout:
        """Add up the counts of conditions by row and column."""
        blocks: dict[tuple[Any, ...], Block] = {}
        for count in counts:
            row = tuple(getattr(count, name) for name in rows)
            column = tuple(getattr(count, name) for name in columns)
            column = column if len(column) > 1 else (None, *column)
            blocks.setdefault((row, *column), Block()).add(count)
        return cls(
            row_fields=rows,
            column_fields=columns,
            rows=_by_phase(row for row, _, _ in blocks),
            groups=_ordered(group for _, group, _ in blocks),
            members=_ordered(member for _, _, member in blocks),
            blocks=blocks,
        )

    @property
    def width(self) -> int:
        """Characters of the longest line of blocks."""
        return sum(self._head_widths) + len(self.groups) * (self._group_width + 1) - 1

    @property
    def _head_widths(self) -> list[int]:
        """Characters of each column before the blocks, with a space."""
        columns = zip(*(self._row_words(row) for row in self.rows), strict=True)
        return [max(map(len, column)) + 1 for column in columns]

    @property
    def _group_width(self) -> int:
        titles = [] if self.groups == [None] else map(self._title, self.groups)
        return max([CELL * len(self.members), *map(len, titles)])

    def _title(self, group: Any) -> str:
        return f"{NAMES[self.column_fields[0]]} {_word(group)}"

    def _row_words(self, row: tuple[Any, ...]) -> list[str]:
        return [
            _shortened(_word(value)) + (UNITS[name] if value is not None else "")
            for name, value in zip(self.row_fields, row, strict=True)
        ]

    def lines(self, signs: Sequence[str], width: int) -> list[Text]:
        """Write title, header, a line for each row, and what the signs mean."""
        largest = max(block.share for block in self.blocks.values())
        indent = " " * sum(self._head_widths)
        lines = [Text("conditions: accepted of explored", style="italic")]
        if self.groups != [None]:
            titles = (self._title(group).ljust(self._group_width + 1) for group in self.groups)
            lines.append(Text((indent + "".join(titles)).rstrip(), style="dim"))
        before: tuple[Any, ...] = ()
        for row in self.rows:
            lines.append(Text(self._head(row, before)))
            before = row
            for group in self.groups:
                lines[-1].append_text(self._group_text(row, group, largest, signs))
            lines[-1].rstrip()
        for line in self._legend(largest, signs):
            lines += [Text(each, style="dim") for each in textwrap.wrap(line, width)]
        if signs == ASCII:
            lines = [_in_ascii(line) for line in lines]
        return lines

    def _head(self, row: tuple[Any, ...], before: tuple[Any, ...]) -> str:
        """Write the values of a row; the first of two is left out where it is that of the last."""
        words = self._row_words(row)
        if len(row) > 1 and row[:1] == before[:1]:
            words[0] = ""
        sizes = zip(words, self._head_widths, strict=True)
        return "".join(word.ljust(size) for word, size in sizes)

    def _group_text(
        self, row: tuple[Any, ...], group: Any, largest: float, signs: Sequence[str]
    ) -> Text:
        """Write the blocks of one row and one group, and the space behind them."""
        text = Text()
        for member in self.members:
            text.append_text(_cell(self.blocks.get((row, group, member)), largest, signs))
        return text.append(" " * (self._group_width + 1 - CELL * len(self.members)))

    def _legend(self, largest: float, signs: Sequence[str]) -> list[str]:
        """Write what columns, shades and marks mean."""
        inner = self.column_fields[-1]
        values = ", ".join(_word(value) for value in self.members)
        grouped = "columns" if self.groups == [None] else "columns of a group"
        lines = [f"{grouped}: {NAMES[inner]} = {values}{UNITS[inner]}"]
        left = [name for name in NAMES if name not in (*self.row_fields, *self.column_fields)]
        if left:
            lines.append(f"added up over {' and '.join(NAMES[name] for name in left)}")
        bounds = [
            f"{CELL * signs[level]} to {100 * largest * level / LEVELS:.3g} %"
            for level in range(1, LEVELS + 1)
        ]
        none = f"{CELL * signs[0]} none"
        shades = ", ".join([none, *bounds] if largest > 0 else [none])
        quarter = " in a quarter of a block's conditions or more" if left else ""
        lines.append(f"{shades}; {signs[-1]} runs stopped early or labels failed{quarter}")
        return lines


def _cell(block: Block | None, largest: float, signs: Sequence[str]) -> Text:
    """Write one block; an empty one of a condition that was not explored."""
    if block is None:
        return Text(" " * CELL)
    level = math.ceil(LEVELS * block.share / largest - 1e-9) if largest > 0 else 0
    shade = signs[min(level, LEVELS)]
    if block.is_marked:
        return Text(shade).append(signs[-1], style="red")
    return Text(CELL * shade)


def _signs(encoding: str) -> Sequence[str]:
    """Return signs that a terminal of an encoding can print."""
    try:
        "".join(UNICODE).encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return UNICODE


def _ordered(values: Iterable[Any]) -> list[Any]:
    """Return each value once: numbers by size, words as they came, None last."""
    distinct = list(dict.fromkeys(values))
    numbers = sorted(value for value in distinct if isinstance(value, (int, float)))
    words = [value for value in distinct if isinstance(value, str)]
    return [*words, *numbers, *(value for value in distinct if value is None)]


def _by_phase(rows: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Return each row once: by its first value as it came, then by its second in order."""
    distinct = list(dict.fromkeys(rows))
    first = _ordered(row[0] for row in distinct)
    last = _ordered(row[-1] for row in distinct)
    return sorted(distinct, key=lambda row: (first.index(row[0]), last.index(row[-1])))


def _word(value: Any) -> str:
    if value is None:
        return MISSING
    return value if isinstance(value, str) else f"{value:g}"


def _shortened(word: str) -> str:
    """Shorten a name in its middle: names of a kind differ at their ends."""
    return word if len(word) <= MAX_NAME else f"{word[: MAX_NAME - 5]}…{word[-4:]}"


def _in_ascii(line: Text) -> Text:
    """Return a line with all signs that a terminal without Unicode has."""
    plain = line.copy()
    plain.plain = line.plain.replace(MISSING, "-").replace("…", "~")
    return plain
