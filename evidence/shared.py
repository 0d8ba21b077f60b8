"""What the scripts of the evidence share: the systems, and their command line."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
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
