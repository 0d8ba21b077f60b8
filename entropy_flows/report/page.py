"""A report as one HTML page that needs nothing beside it.

`kit/` has what every page of the package is made of: the layout, the style, and the map of
structures. Names, reasons and messages come from users' files. They are text, never markup.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from jinja2 import BaseLoader, Environment, TemplateNotFound
from markupsafe import Markup

from entropy_flows.files import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KIT = files(__package__) / "kit"
"""Folder of the templates, the style and the scripts."""
FOLDED_ROWS = 24
"""Rows of a table from which on it is folded when the page opens."""


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


class KitLoader(BaseLoader):
    """Templates of the kit."""

    def get_source(self, environment: Environment, template: str) -> tuple[str, None, None]:
        """Return the text of a template."""
        template_file = KIT / template
        if not template_file.is_file():
            raise TemplateNotFound(template)
        return template_file.read_text(encoding="utf-8"), None, None


@functools.cache
def environment() -> Environment:
    """Return the environment of the templates, which writes text as text."""
    env = Environment(loader=KitLoader(), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    env.filters["data"] = script_data
    env.globals["folded_rows"] = FOLDED_ROWS
    return env


def render(template: str, **values: Any) -> str:
    """Write a page from a template of the kit."""
    return environment().get_template(template).render(**values)


def asset(name: str) -> Markup:
    """Return a file of the kit as the content of a script or style element."""
    return Markup((KIT / name).read_text(encoding="utf-8"))


def script_data(value: Any) -> Markup:
    """Write a value as the content of a JSON script element, which no text in it can end."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    # "<" within JSON is only in strings, where it may be written by its number
    return Markup(text.replace("<", "\\u003c"))


def svg_figures(figures: Figures) -> list[tuple[str, Markup, str]]:
    """Write figures as (name, SVG, caption)."""
    from entropy_flows.report.svg import inline_svg

    return [
        (name, Markup(inline_svg(captioned.figure, name, captioned.caption)), captioned.caption)
        for name, captioned in figures.items()
    ]


def write_report(
    folder: Path,
    title: str,
    state: str,
    engines: Sequence[str],
    tables: Sequence[Table],
    figures: Figures,
    closing: Sequence[str] = (),
) -> Path:
    """Write a page with its figures in it, and each figure beside it as PNG, for slides.

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
    html = render(
        "tables.html",
        title=title,
        state=state,
        engines=engines,
        tables=tables,
        figures=svg_figures(figures),
        closing=closing,
        style=asset("style.css"),
    )
    return write_page(folder, html, figures)


def write_page(folder: Path, html: str, figures: Figures) -> Path:
    """Write the HTML file of a report, and its figures as PNG beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, captioned in figures.items():
        captioned.figure.savefig(folder / f"{name}.png", dpi=150)
    page = folder / "index.html"
    with replacing(page) as temporary:
        temporary.write_text(html, encoding="utf-8")
    return page
