"""Read the code blocks of a page, and run them as a reader would.

A block with a title is a file. A bash block is run. A text block after the comment
`<!-- expected output, within 5 % -->` is the output of the bash block before it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(
    r"(?:<!-- expected output, within (?P<percent>[\d.]+) % -->\n)?"
    r"```(?P<language>\w+)(?: title=\"(?P<title>[^\"]+)\")?\n(?P<text>.*?)```",
    re.DOTALL,
)
NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d+)?(?!\w)")


@dataclass
class Block:
    """A fenced block of a page."""

    language: str
    title: str | None
    text: str
    tolerance: float | None
    """Relative tolerance of the numbers, where the block is an expected output."""


def blocks(page: str) -> list[Block]:
    """Return the fenced blocks of a page of docs/, in order."""
    found = []
    for match in BLOCK.finditer((ROOT / "docs" / page).read_text()):
        percent = match["percent"]
        tolerance = None if percent is None else float(percent) / 100
        found.append(Block(match["language"], match["title"], match["text"], tolerance))
    return found


def run_page(page: str, folder: Path, changes: Mapping[str, str] | None = None) -> None:
    """Run a page's blocks in a folder, and compare the outputs that it shows.

    `changes` makes a page smaller: text in its blocks, and what stands there instead.
    """
    output = ""
    for block in small(blocks(page), changes or {}):
        if block.tolerance is not None:
            compare(block.text, output, block.tolerance)
        elif block.title is not None:
            path = folder / block.title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)
        elif block.language == "bash":
            output = shell(block.text, folder)


def small(page: Sequence[Block], changes: Mapping[str, str]) -> list[Block]:
    """Return the blocks with their texts changed; each change must have something to change."""
    for old in changes:
        assert any(old in block.text for block in page), f"no block has {old!r}"
    changed = []
    for block in page:
        text = block.text
        for old, new in changes.items():
            text = text.replace(old, new)
        changed.append(replace(block, text=text))
    return changed


def shell(script: str, folder: Path) -> str:
    """Run a script with this interpreter's commands on the PATH; return its output."""
    bin_folder = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}"}
    environment["PYTHONPATH"] = str(ROOT)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def compare(expected: str, output: str, tolerance: float) -> None:
    """Check that the output has each expected line, with numbers within the tolerance.

    White space and the borders of tables do not count.
    """
    actual = {}
    for line in output.splitlines():
        words = plain(line)
        actual[NUMBER.sub("#", words)] = words
    for line in expected.splitlines():
        words = plain(line)
        key = NUMBER.sub("#", words)
        assert key in actual, f"no line like {line!r} in:\n{output}"
        numbers = [float(number) for number in NUMBER.findall(words)]
        computed = [float(number) for number in NUMBER.findall(actual[key])]
        assert computed == pytest.approx(numbers, rel=tolerance), line


def plain(line: str) -> str:
    """Return the words of a line, of a table's row without its borders."""
    return " ".join(line.replace("│", " ").split())
