"""The arguments that all commands on a campaign take."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from entropy_flows.store.settings_changes import SettingsChange

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

NowOption = Annotated[
    bool, typer.Option("--now", help="Stop the jobs that run, too: each saves and is given back.")
]


def as_typed(file: Path, folder: Path | None) -> str:
    """A campaign's file and folder as arguments of the next command, quoted for a shell."""
    return shlex.join([str(file), *(["-C", str(folder)] if folder else [])])


def show_changes(changes: Iterable[SettingsChange]) -> None:
    """Print a line for each key of the campaign file that was changed."""
    for change in changes:
        print(f"changed: {change.text()}")


def refuse_as_output(output: Path | None, inputs: Iterable[Path]) -> None:
    """Refuse to replace a file that is read by the same command, whatever else may be replaced.

    Raises
    ------
    ValueError
        It names the file.
    """
    if output is None or not output.exists():
        return
    if any(path.exists() and output.samefile(path) for path in inputs):
        raise ValueError(f"{output} is read by this command; give the output another name")
