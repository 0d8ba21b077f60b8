"""The package keeps to the counts of `make style`: names of the field, one fact a line."""

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

FILE = Path(__file__).parents[1] / "tools" / "style.py"
PRIVATE = """
def rows(place):
    found, kept = sorted(place), len(place)
    return found
"""


@pytest.fixture(scope="module")
def style():
    spec = importlib.util.spec_from_file_location("style", FILE)
    module = importlib.util.module_from_spec(spec)
    sys.modules["style"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["style"]


def test_the_package_is_within_every_limit():
    command = [sys.executable, FILE, "--check", "--list"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_private_names_and_packed_lines_are_counted(style):
    source = style.Source(FILE, PRIVATE, ast.parse(PRIVATE))
    assert sorted(style.private_words(source)) == [2, 3, 3]
    assert list(style.packed_assignments(source)) == [3]
