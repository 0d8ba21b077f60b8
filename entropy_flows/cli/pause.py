"""`entropy-flows pause`: let a campaign start no more jobs, until it is resumed."""

from __future__ import annotations

from typing import Annotated

import typer

from entropy_flows.cli.options import CampaignFile, FolderOption


def command(
    file: CampaignFile,
    folder: FolderOption = None,
    now: Annotated[
        bool,
        typer.Option("--now", help="Stop the jobs that run, too: each saves and is given back."),
    ] = False,
) -> None:
    """Start no more jobs of a campaign; `resume` lets it go on where it was.

    Workers end the jobs that they have. They may stay: `run` and qlaunch wait for the resumption.

    Example: entropy-flows pause silicon/campaign.yaml
    """
    from entropy_flows.cli.holds import hold_campaign
    from entropy_flows.store.holds import HoldKind

    hold_campaign(file, folder, HoldKind.PAUSE, now)
