"""Tables of the reports on the terminal, laid out so that no cell is cut at any width.

A table that is too wide has its words wrapped. One that is too wide even then becomes several, one
below the other, which have the first column in common. Numbers are not wrapped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table as RichTable
from rich.text import Text

BORDER = 3
"""Characters of a column beside its cells: a line and a space on either side."""
MAX_WORD = 40
"""Longest word (characters) that is kept whole; a path may be longer, and is folded."""


def terminal_table(
    rows: Sequence[Sequence[str]],
    title: str | None = None,
    caption: str | None = None,
    right_from: int | None = None,
) -> TerminalTable:
    """Build a table that `rich` prints.

    Parameters
    ----------
    rows
        The header first. Cells may have rich's markup.
    title, caption
        Lines above and below the table.
    right_from
        Index of the first column that is aligned to the right, whose cells are not wrapped; None
        aligns all to the left.
    """
    cells = [list(row) for row in rows]
    return TerminalTable(cells, title, caption, len(cells[0]) if right_from is None else right_from)


@dataclass(frozen=True)
class TerminalTable:
    """A table that finds its layout when the width is known; fields as in `terminal_table`."""

    rows: list[list[str]]
    title: str | None
    caption: str | None
    right_from: int

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield a table of `rich`, or several where one is too wide."""
        groups = list(self._groups(options.max_width))
        for number, group in enumerate(groups):
            widths = self._widths(group, options.max_width)
            table = RichTable(
                title=self.title if number == 0 else None,
                caption=self.caption if number == len(groups) - 1 else None,
            )
            for column, width in zip(group, widths, strict=True):
                table.add_column(
                    self.rows[0][column],
                    width=width,
                    justify="right" if column >= self.right_from else "left",
                    overflow="fold",
                )
            for row in self.rows[1:]:
                table.add_row(*(row[column] for column in group))
            yield table

    def _groups(self, width: int) -> Iterator[list[int]]:
        """Yield the columns of each table, the first of all in every one."""
        group = [0]
        for column in range(1, len(self.rows[0])):
            wider = [*group, column]
            if len(group) > 1 and sum(map(self._narrowest, wider)) + _borders(wider) > width:
                yield group
                wider = [0, column]
            group = wider
        yield group

    def _widths(self, group: Sequence[int], width: int) -> list[int]:
        """Return the widths of a table's columns: as wide as they need to be, if there is room."""
        widths = [self._narrowest(column) for column in group]
        wishes = [self._widest(column) for column in group]
        room = width - _borders(group) - sum(widths)
        while room > 0 and any(wish > given for wish, given in zip(wishes, widths, strict=True)):
            for index, wish in enumerate(wishes):
                if wish > widths[index] and room > 0:
                    widths[index] += 1
                    room -= 1
        if room < 0:
            widths[-1] = max(1, widths[-1] + room)
        return widths

    def _narrowest(self, column: int) -> int:
        """Return the width of a column whose words are wrapped, and whose numbers are not."""
        header, *body = (row[column] for row in self.rows)
        wraps = column < self.right_from
        longest = max((_longest_word(cell) if wraps else _length(cell) for cell in body), default=1)
        return max(1, min(MAX_WORD, longest) if wraps else longest, _longest_word(header))

    def _widest(self, column: int) -> int:
        """Return the width of a column without wrapping."""
        return max(1, *(_length(row[column]) for row in self.rows))


def named_lines(lines: Sequence[tuple[str, str]], width: int) -> RichTable:
    """Build lines of a name and a value, which are wrapped beside one another.

    Parameters
    ----------
    lines
        Names and values, which are printed as they are.
    width
        Characters of the column of the names.
    """
    grid = RichTable.grid(padding=(0, 2))
    grid.add_column(width=width, overflow="fold", style="dim")
    grid.add_column(overflow="fold")
    for name, value in lines:
        grid.add_row(Text(name), Text(value))
    return grid


def _borders(group: Sequence[int]) -> int:
    return BORDER * len(group) + 1


def _length(cell: str) -> int:
    """Return how many characters of a terminal a cell takes, in its longest line."""
    return max((Text.from_markup(line).cell_len for line in cell.split("\n")), default=0)


def _longest_word(cell: str) -> int:
    return max((_length(word) for word in Text.from_markup(cell).plain.split()), default=0)
