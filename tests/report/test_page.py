"""Pages: text stays text, figures keep to themselves, and nothing beside the file is needed."""

import json
import re
from html.parser import HTMLParser

from matplotlib.figure import Figure

from entropy_flows.report.page import CaptionedFigure, Table, script_data, write_report
from entropy_flows.report.svg import inline_svg

EVIL = '<script>alert(1)</script> & "quoted" <b>'


class Elements(HTMLParser):
    """Names of the elements, identifiers, and what refers to other files."""

    def __init__(self):
        super().__init__()
        self.names = []
        self.ids = []
        self.files = []

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.names.append(tag)
        if "id" in attributes:
            self.ids.append(attributes["id"])
        self.files += [attributes[name] for name in ("src", "href") if name in attributes]


def figure():
    made = Figure(figsize=(3, 2))
    axis = made.subplots()
    axis.plot([0, 1, 2], [1, 3, 2], "o", label="one")
    axis.plot([0, 1, 2], [2, 1, 3], label="two")
    axis.legend()
    return made


def parsed(text):
    elements = Elements()
    elements.feed(text)
    return elements


def test_text_of_users_is_text(tmp_path):
    figures = {"a": CaptionedFigure(figure(), EVIL)}
    table = Table(EVIL, [["phase", EVIL], [EVIL, "1"]], EVIL)
    page = write_report(tmp_path / "p", EVIL, EVIL, [EVIL], [table], figures, [EVIL])
    elements = parsed(page.read_text())
    assert "script" not in elements.names
    assert "b" not in elements.names
    assert page.read_text().count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 8


def test_a_page_needs_no_other_file_and_its_identifiers_are_unique(tmp_path):
    figures = {name: CaptionedFigure(figure(), "two lines") for name in ("first", "second")}
    page = write_report(tmp_path, "t", "", [], [Table("x", [["a"], ["1"]])], figures)
    elements = parsed(page.read_text())
    assert all(reference.startswith(("#", "data:")) for reference in elements.files)
    assert len(elements.ids) == len(set(elements.ids))
    targets = set(re.findall(r'(?:href="#|url\(#)([^")]+)', page.read_text()))
    assert targets
    assert targets <= set(elements.ids)
    assert (tmp_path / "first.png").stat().st_size > 2_000


def test_a_figure_takes_the_colours_of_the_page():
    svg = inline_svg(figure(), "f", 'a "figure"')
    assert "var(--series-1)" in svg
    assert "var(--series-2)" in svg
    assert not re.search(r"#(1f77b4|ff7f0e|000000|ffffff)", svg)
    assert 'aria-label="a &quot;figure&quot;"' in svg
    assert ">one</text>" in svg
    assert "metadata" not in svg
    assert inline_svg(figure(), "f", "x") == inline_svg(figure(), "f", "x")


def test_long_tables_are_folded(tmp_path):
    rows = [["a"], *[[str(number)] for number in range(40)]]
    page = write_report(tmp_path, "t", "", [], [Table("long", rows), Table("short", rows[:5])], {})
    assert page.read_text().count("<details") == 1


def test_no_text_ends_a_script_of_data():
    value = {"name": "</script><script>alert(1)</script>", "n": [1, 2.5, None]}
    text = str(script_data(value))
    assert "</" not in text
    assert json.loads(text) == value
