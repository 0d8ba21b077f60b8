"""`entropy-flows report`: a page to look at."""

from __future__ import annotations

from typing import Annotated

import typer

from entropy_flows.cli.session import CampaignFile, FolderOption, session
from entropy_flows.cli.status import iteration_rows


def command(
    file: CampaignFile,
    folder: FolderOption = None,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
) -> None:
    """Write parity plots, gain per iteration, coverage and tables as HTML and PNG.

    Example: entropy-flows report silicon/campaign.yaml
    """
    from entropy_flows.evaluate.report import collect, write_report

    with session(file, folder) as opened:
        material = collect(opened.store, opened.campaign.dataset)
        page = write_report(material, iteration_rows(opened.store.iterations()), opened.folder / "report")
    print(f"report: {page}")
    if open_:
        typer.launch(str(page))
