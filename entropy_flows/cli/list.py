"""`entropy-flows list`: the campaigns of a database."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from entropy_flows.cli.options import FolderOption

if TYPE_CHECKING:
    from entropy_flows.store.overview import CampaignOverview

HEADER = ["campaign", "state", "iterations", "cells", "labels", "last change (UTC)"]


def command(
    file: Annotated[
        Path | None,
        typer.Argument(
            help="A campaign file, whose embedded database is meant. Default: ENTROPY_FLOWS_URI's.",
            metavar="CAMPAIGN.yaml",
        ),
    ] = None,
    folder: FolderOption = None,
) -> None:
    """List the campaigns of a database, the one that was changed last first.

    Example: entropy-flows list
    """
    from rich.console import Console

    from entropy_flows.launch.session import open_session
    from entropy_flows.report.terminal import terminal_table
    from entropy_flows.settings import settings
    from entropy_flows.store import connect
    from entropy_flows.store.overview import campaigns_of

    if file is not None:
        with open_session(file, folder, create=False) as session:
            overviews = campaigns_of(session.store.database)
    elif settings().uri is None:
        raise ValueError(
            "no database is configured: set ENTROPY_FLOWS_URI, or name the file of a campaign "
            "that has a database of its own"
        )
    else:
        overviews = campaigns_of(connect())
    rows = [HEADER, *map(overview_row, overviews)]
    Console().print(terminal_table(rows, right_from=2))


def overview_row(overview: CampaignOverview) -> list[str]:
    """Write a campaign as a row."""
    from entropy_flows.store.holds import standing

    document = overview.document
    name = overview.name
    origin = document.get("forked_from")
    if origin:
        name += f" (fork of {origin['campaign']})"
    return [
        name,
        standing(document)[0],
        str(overview.iterations),
        str(overview.entries),
        str(overview.labels),
        f"{overview.last_change:%Y-%m-%d %H:%M}",
    ]
