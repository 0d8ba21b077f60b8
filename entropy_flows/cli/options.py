"""The arguments that all commands on a campaign take."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

CampaignFile = Annotated[
    Path, typer.Argument(help="The campaign file (YAML).", metavar="CAMPAIGN.yaml")
]
FolderOption = Annotated[
    Path | None,
    typer.Option(
        "--folder",
        "-C",
        help="The campaign's folder. Default: named like the campaign, beside its file.",
    ),
]


def as_typed(file: Path, folder: Path | None) -> str:
    """A campaign's file and folder as arguments of the next command, quoted for a shell."""
    return shlex.join([str(file), *(["-C", str(folder)] if folder else [])])
