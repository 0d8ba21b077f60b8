"""Make the pictures of a campaign's page that the docs show, from its report.

Needs the extra `browser` and chromium (`make browser`).

Example: python tools/screenshots.py silicon-demo/report/index.html
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

DOCS = Path(__file__).resolve().parents[1] / "docs"
SHOTS = {
    "page-wide": (1280, 1560, "light"),
    "page-dark": (1280, 1560, "dark"),
    "page-narrow": (400, 1700, "light"),
}
"""Name of a picture → width and height of the screen, and its colours."""
OPTIONS = [
    "--no-sandbox",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--hide-scrollbars",
]
DRAWN = "document.querySelector('[data-part=cell3d] canvas') !== null"
PATIENCE = 120_000
"""Time to wait for the page (ms)."""


def main() -> None:
    """Open the report in a browser and take the pictures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("page", type=Path, help="the HTML file of `entropy-flows report`")
    address = parser.parse_args().page.resolve().as_uri()
    with sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=shutil.which("chromium"), args=OPTIONS)
        for name, (width, height, colours) in SHOTS.items():
            page = browser.new_page(
                viewport={"width": width, "height": height}, color_scheme=colours
            )
            page.goto(address, timeout=PATIENCE)
            page.wait_for_function(DRAWN, timeout=PATIENCE)
            page.wait_for_timeout(500)
            page.screenshot(path=DOCS / f"{name}.png")
            print(f"written: {DOCS / name}.png")
        browser.close()


if __name__ == "__main__":
    main()
