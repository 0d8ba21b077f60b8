"""`entropy-flows check`: everything that can be found out before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from entropy_flows.cli.options import CampaignFile, FolderOption, as_typed


def command(
    file: CampaignFile,
    inputs: Annotated[
        Path | None,
        typer.Option(
            help="Write the label engine's inputs for the first seed cell into this folder."
        ),
    ] = None,
    launchers: Annotated[
        Path | None,
        typer.Option(
            help="Check the files that `entropy-flows launchers` wrote to this folder, too."
        ),
    ] = None,
    database: Annotated[
        bool,
        typer.Option(
            "--database", help="Compare with the campaign of this name in the database, too."
        ),
    ] = False,
    load: Annotated[
        bool,
        typer.Option(
            "--load", help="Import label engines and trainers of your own, which runs their code."
        ),
    ] = False,
    measure: Annotated[
        bool,
        typer.Option(
            "--time", help="Load the model, time its steps on the seed cells, estimate the hours."
        ),
    ] = False,
    folder: FolderOption = None,
) -> None:
    """Validate a campaign file and print what would run and how large it is. Nothing is run.

    Modules of your own that the file names are located, but not imported unless --load is given.

    Example: entropy-flows check carbon.yaml --inputs inputs --launchers launchers
    """
    from entropy_flows.cli.check_campaign import CampaignCheck

    check = CampaignCheck.read(file, load)
    check.show_campaign()
    check.show_size()
    if measure:
        check.show_time()
    check.show_engine(inputs, database, folder)
    if launchers is not None:
        check.show_launchers(launchers)
    check.console.print("[green]ok[/green]")
    if not measure:
        print(f"how long it takes: entropy-flows check {as_typed(file, folder)} --time")
