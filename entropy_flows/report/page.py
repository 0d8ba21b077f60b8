"""The report: tables and figures as one HTML page with its PNG files beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment
from matplotlib.figure import Figure

Table = tuple[str, Sequence[Sequence[str]], str]
"""Title, rows with the header first, and a note."""


def write_report(
    folder: Path,
    title: str,
    state: str,
    engines: Sequence[str],
    tables: Sequence[Table],
    figures: Mapping[str, tuple[Figure, str]],
) -> Path:
    """Write the page.

    Parameters
    ----------
    folder
        Made if missing; files of an earlier report are replaced.
    title, state
        What the campaign is called, and how it stands.
    engines
        What made the labels.
    tables
        In order.
    figures
        File name without ending → figure and caption.

    Returns
    -------
    Path
        The page.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, (figure, _) in figures.items():
        figure.savefig(folder / f"{name}.png", dpi=150)
    template = Environment(autoescape=True).from_string(
        (files(__package__) / "page.html").read_text()
    )
    page = folder / "index.html"
    page.write_text(
        template.render(
            title=title,
            state=state,
            engines=engines,
            tables=tables,
            figures=[(f"{name}.png", caption) for name, (_, caption) in figures.items()],
        )
    )
    return page
