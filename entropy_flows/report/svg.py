"""Figures as SVG that is part of a page, in the page's own colours.

Matplotlib writes its colours as numbers. Those of its cycle become the page's variables, so that a
figure follows the page into the dark, and its series are told apart by colour-blind readers.
"""

from __future__ import annotations

import io
import re

from matplotlib import rc_context
from matplotlib.figure import Figure

SERIES = (
    "#1f77b4",
    "#ff7f0e",
    "#2ca02c",
    "#d62728",
    "#9467bd",
    "#8c564b",
    "#e377c2",
    "#7f7f7f",
    "#bcbd22",
    "#17becf",
)
"""Matplotlib's colour cycle; the n-th becomes the variable --series-n of the page."""
_IDS = re.compile(r'(\bid="|href="#|url\(#)')
_FONT = re.compile(r"font: ([^;\"]*?)[\d.]+px [^;\"]*")


def inline_svg(figure: Figure, name: str, description: str) -> str:
    """Write a figure as an SVG element.

    Parameters
    ----------
    figure
        The figure.
    name
        Unique within the page: the figure's identifiers begin with it.
    description
        What it shows, for those who do not see it.

    Returns
    -------
    str
        The element, without anything that a browser would run.
    """
    buffer = io.StringIO()
    # text stays text, which is searched and read aloud; the salt makes equal figures equal
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "entropy_flows"}):
        # a date within would make equal figures differ
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    # a figure that is drawn again, as PNG, keeps the layout, which takes a quarter of the drawing
    figure.set_layout_engine("none")
    text = buffer.getvalue()
    start = text.index("<svg")
    svg = _with_own_ids(_without_metadata(text[start:]), name)
    for number, colour in enumerate(SERIES, 1):
        svg = svg.replace(colour, f"var(--series-{number})")
    svg = svg.replace("#000000", "currentColor").replace("#ffffff", "var(--panel)")
    head, rest = svg.split(">", 1)
    box = re.search(r'viewBox="[^"]*"', head)
    assert box is not None, "matplotlib gives every figure a box"
    label = description.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    return f'<svg role="img" aria-label="{label}" {box[0]}>{rest}'


def _without_metadata(svg: str) -> str:
    """Leave out who made it, and the fonts, which are the page's."""
    svg = re.sub(r"<metadata>.*</metadata>", "", svg, flags=re.DOTALL)
    return _FONT.sub(lambda match: _size_of(match[0]), svg)


def _size_of(font: str) -> str:
    """Return the size of a font shorthand as a declaration of its own."""
    size = re.search(r"([\d.]+)px", font)
    assert size is not None, "the pattern has a size"
    return f"font-size: {size[1]}px"


def _with_own_ids(svg: str, name: str) -> str:
    """Put the figure's name before each identifier: two figures of a page may share one."""
    return _IDS.sub(lambda match: f"{match[1]}{name}-", svg)
