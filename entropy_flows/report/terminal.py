"""Tables of the reports on the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table as RichTable


def terminal_table(
    rows: Sequence[Sequence[str]],
    title: str | None = None,
    caption: str | None = None,
    right_from: int | None = None,
) -> RichTable:
    """Build a table that `rich` prints.

    Parameters
    ----------
    rows
        The header first.
    title, caption
        Lines above and below the table.
    right_from
        Index of the first column that is aligned to the right; None aligns all to the left.
    """
    header, *body = rows
    table = RichTable(*header, title=title, caption=caption)
    if right_from is not None:
        for column in table.columns[right_from:]:
            column.justify = "right"
    for row in body:
        table.add_row(*row)
    return table
