"""What an object shows of itself: a line in a shell, and a table in a notebook.

A class says what it is once, in `summary`. HTML is made of that: every text is escaped, there is no
script, and colours are those of the notebook's theme, light or dark.
"""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import isfinite

Row = Sequence[str]
BOX = "color:inherit;background:none;font-size:90%"
TABLE = "border-collapse:collapse;color:inherit;background:none;margin:0.3em 0"
CELL = (
    "text-align:left;vertical-align:top;padding:0.1em 1.2em 0.1em 0;border:none;background:none;"
    "color:inherit"
)
HEAD = f"{CELL};font-weight:normal;opacity:0.75;white-space:nowrap"
SPARK_WIDTH = 160
SPARK_HEIGHT = 24
"""Size of a small curve, in pixels."""


@dataclass(frozen=True)
class Summary:
    """Text that is shown of an object.

    Attributes
    ----------
    title
        What it is.
    short
        The same in a few words, for a shell; it stands in brackets behind the class's name.
    lines
        Names and values.
    table
        Rows below the lines, the header first.
    curves
        Name of a quantity → its values, drawn as a small curve.
    """

    title: str
    short: str
    lines: Sequence[tuple[str, str]] = ()
    table: Sequence[Row] = ()
    curves: dict[str, Sequence[float]] = field(default_factory=dict)

    def html(self) -> str:
        """Write it as HTML that can stand in any page."""
        parts = [f'<div style="{BOX}"><strong>{html.escape(self.title)}</strong>']
        rows = [_line(name, html.escape(value)) for name, value in self.lines]
        rows += [_line(name, curve(values, name)) for name, values in self.curves.items()]
        if rows:
            parts.append(f'<table style="{TABLE}"><tbody>{"".join(rows)}</tbody></table>')
        if self.table:
            header, *body = self.table
            head = "".join(f'<th scope="col" style="{HEAD}">{html.escape(x)}</th>' for x in header)
            cells = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in body)
            parts.append(
                f'<table style="{TABLE}"><thead><tr>{head}</tr></thead>'
                f"<tbody>{cells}</tbody></table>"
            )
        return "".join([*parts, "</div>"])


class Summarised:
    """Base of classes that show a summary of themselves in shells and notebooks."""

    def summary(self) -> Summary:
        """Return what is shown of the object."""
        raise NotImplementedError(f"{type(self).__name__} has no summary")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.summary().short})"

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        return self.summary().html()


def axis_text(values: Sequence[float]) -> str:
    """Write the values of a grid's axis; n equal ones are one, "n × value"."""
    counts = Counter(values)
    return ", ".join(
        f"{value:g}" if count == 1 else f"{count} × {value:g}" for value, count in counts.items()
    )


def curve(values: Sequence[float], name: str) -> str:
    """Draw values as a small curve in SVG, with the first and the last one beside it.

    Parameters
    ----------
    values
        The values; those that are not finite are left out.
    name
        What they are, for those who hear the page.
    """
    finite = [(index, value) for index, value in enumerate(values) if isfinite(value)]
    if not finite:
        return "–"
    words = f"{finite[0][1]:.4g} → {finite[-1][1]:.4g}"
    label = html.escape(f"{name}: {words}", quote=True)
    return (
        f'<svg role="img" aria-label="{label}" width="{SPARK_WIDTH}" height="{SPARK_HEIGHT}" '
        f'viewBox="0 0 {SPARK_WIDTH} {SPARK_HEIGHT}" style="vertical-align:middle">'
        f'<polyline points="{" ".join(_points(finite))}" fill="none" stroke="currentColor" '
        f'stroke-width="1.5"/></svg> {html.escape(words)}'
    )


def _points(finite: Sequence[tuple[int, float]]) -> Iterable[str]:
    """Yield the points of a curve, its first value at the left, its largest one at the top."""
    numbers = [value for _, value in finite]
    lowest = min(numbers)
    span = max(numbers) - lowest or 1.0
    steps = max(1, finite[-1][0] - finite[0][0])
    for index, value in finite:
        x = 1 + (SPARK_WIDTH - 2) * (index - finite[0][0]) / steps
        y = SPARK_HEIGHT - 2 - (SPARK_HEIGHT - 4) * (value - lowest) / span
        yield f"{x:.1f},{y:.1f}"


def _line(name: str, content: str) -> str:
    """Write a row of a name and of HTML."""
    head = f'<th scope="row" style="{HEAD}">{html.escape(name)}</th>'
    return f'<tr>{head}<td style="{CELL}">{content}</td></tr>'


def _cell(value: str) -> str:
    return f'<td style="{CELL}">{html.escape(value)}</td>'
