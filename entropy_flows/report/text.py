"""Numbers as tables write them."""

from __future__ import annotations

from collections.abc import Sequence

MISSING = "–"
"""Written where there is no value."""


def number(value: float | None, digits: int, scale: float = 1.0) -> str:
    """Write a number with fixed decimals, in a unit that is `scale` times smaller."""
    return MISSING if value is None else f"{value * scale:.{digits}f}"


def general(value: float | None) -> str:
    """Write a number with the digits that it has."""
    return MISSING if value is None else f"{value:g}"


def change(before: float | None, after: float | None, digits: int, scale: float = 1.0) -> str:
    """Write a number before and after something."""
    if before is None and after is None:
        return MISSING
    return f"{number(before, digits, scale)} → {number(after, digits, scale)}"


def sentence(line: str) -> str:
    """Write a line as a sentence: a capital first, a full stop last."""
    return f"{line[0].upper()}{line[1:]}{'' if line.endswith('.') else '.'}"


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """Write rows of cells, the header first, as a Markdown table."""
    rule = "| --- |" + " ---: |" * (len(rows[0]) - 1)
    header, *body = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([header, rule, *body])
