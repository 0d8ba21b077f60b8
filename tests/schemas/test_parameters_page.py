"""The page of all parameters is what the code has today."""

import re
import runpy
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_is_up_to_date():
    made = runpy.run_path(str(DOCS / "parameters.py"))["text"]()
    assert (DOCS / "parameters.md").read_text() == made, "run `python docs/parameters.py`"


def test_every_key_has_type_default_and_meaning():
    text = (DOCS / "parameters.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert len(rows) > 150
    for row in rows:
        cells = re.split(r"(?<!\\)\|", row)[1:-1]
        assert len(cells) == 4, row
        assert all(cell.strip() for cell in cells), row


def test_sections_and_settings_are_there():
    text = (DOCS / "parameters.md").read_text()
    for link in set(re.findall(r"\(#(\w+)\)", text)):
        assert text.lower().count(f"\n### {link}\n") == 1
    for name in (
        "theta_min",
        "top_up",
        "near_share",
        "ENTROPY_FLOWS_URI",
        "ENTROPY_FLOWS_CONFIG_FILE",
    ):
        assert f"\n| `{name}` |" in text
    assert (
        "| `temperatures` | list of number > 0 and ≤ 50000 (at least 1) | `[300, 1000, 3000]` | "
        in text
    )
    assert "| `theta_min` | number > 0 or null | `0.001` | " in text
