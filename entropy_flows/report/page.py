"""A report as one HTML page, with its figures as PNG files beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment
from matplotlib.figure import Figure


class Table(NamedTuple):
    """A table of text."""

    title: str
    """Heading of the table."""
    rows: Sequence[Sequence[str]]
    """Rows of cells, the header first."""
    note: str = ""
    """Sentences below the table."""


class CaptionedFigure(NamedTuple):
    """A figure with the sentence that belongs below it."""

    figure: Figure
    """The figure."""
    caption: str
    """The sentence."""


Figures = Mapping[str, CaptionedFigure]
"""File name without its ending → figure."""


def write_report(
    folder: Path,
    title: str,
    state: str,
    engines: Sequence[str],
    tables: Sequence[Table],
    figures: Figures,
    closing: Sequence[str] = (),
) -> Path:
    """Write a page, and its figures beside it.

    Parameters
    ----------
    folder
        Created if it is missing. Files of an earlier report are replaced.
    title, state
        Name of the campaign or data set, and a line below it.
    engines
        Names of the engines that labelled the cells.
    tables, figures
        Shown in this order, the tables first.
    closing
        Lines at the end, shown as they are.

    Returns
    -------
    Path
        The HTML file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, captioned in figures.items():
        captioned.figure.savefig(folder / f"{name}.png", dpi=150)
    captions = [(f"{name}.png", captioned.caption) for name, captioned in figures.items()]
    source = (files(__package__) / "page.html").read_text()
    # Names, reasons and messages come from users' files: they are text, never markup.
    template = Environment(autoescape=True).from_string(source)
    html = template.render(
        title=title,
        state=state,
        engines=engines,
        tables=tables,
        figures=captions,
        closing=closing,
    )
    page = folder / "index.html"
    page.write_text(html)
    return page
