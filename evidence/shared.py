"""What the scripts of the evidence share: the systems, and their command line."""

from __future__ import annotations

import argparse
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from entropy_flows.files import whole_file

FOLDER = Path(__file__).resolve().parent
SUMMARY = FOLDER.parent / "docs" / "evidence" / "summary.json"
"""Every figure of the evidence: a list of rows."""
COLUMNS = ("system", "pool", "test", "student", "N", "quantity", "value", "error", "seeds", "pools")
"""Keys of a row beside the `command` that makes it, and the `script` that wrote it."""
TITLES = {"silicon": "silicon", "nacl": "NaCl", "carbon": "carbon"}
SYSTEMS = tuple(TITLES)


def campaign_file(system: str) -> Path:
    """Return the campaign file of a system."""
    return FOLDER / f"{system}.yaml"


def command_line(docstring: str) -> argparse.ArgumentParser:
    """Make a parser with the folder of the results.

    Parameters
    ----------
    docstring
        Of the script: its first line describes it, its last paragraph is an example.
    """
    description = docstring.splitlines()[0]
    example = docstring.strip().split("\n\n")[-1].replace("\n", " ")
    parser = argparse.ArgumentParser(description=description, epilog=example)
    parser.add_argument(
        "--folder", type=Path, default=Path("runs/evidence"), help="default: %(default)s"
    )
    return parser


def add_workers(parser: argparse.ArgumentParser) -> None:
    """Add the number of local workers to a parser."""
    cores = len(os.sched_getaffinity(0))
    parser.add_argument("--workers", type=int, default=cores, help="default: one per core")


def read_rows(script: str) -> list[dict[str, Any]]:
    """Return the rows of `SUMMARY` that a script wrote."""
    rows = json.loads(SUMMARY.read_text()) if SUMMARY.is_file() else []
    return [row for row in rows if row["script"] == script]


def sections(page: Path) -> dict[str, str]:
    """Return the sections of a page, heading → text with it; of none if there is no page."""
    if not page.is_file():
        return {}
    _, *texts = re.split(r"^(?=## )", page.read_text(), flags=re.MULTILINE)
    return {text.split("\n", 1)[0].removeprefix("## "): text for text in texts}


def write_rows(script: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Put a script's rows into `SUMMARY`, in place of those that it wrote of the same systems.

    Parameters
    ----------
    script
        Name of the script.
    rows
        Rows with `COLUMNS` and `command`.
    """
    existing = json.loads(SUMMARY.read_text()) if SUMMARY.is_file() else []
    systems = {row["system"] for row in rows}
    others = [row for row in existing if row["script"] != script or row["system"] not in systems]
    rows_of_script = [{"script": script, **row} for row in rows]
    every = sorted([*others, *rows_of_script], key=lambda row: row["script"])
    # a row a line: a change of one figure is a change of one line
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in every)
    with whole_file(SUMMARY) as file:
        file.write(f"[\n{lines}\n]\n".encode())
