"""Tables of the report's kind on the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table


def shown(title: str, rows: Sequence[Sequence[str]], caption: str | None = None) -> Table:
    """Rows, the header first, as a table to print."""
    table = Table(*rows[0], title=title, caption=caption)
    for row in rows[1:]:
        table.add_row(*row)
    return table
