"""`entropy-flows database`: open a campaign's database for other programs."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Annotated

import typer

from entropy_flows.cli.options import CampaignFile, FolderOption
from entropy_flows.launch.session import open_session


def command(
    file: CampaignFile,
    program: Annotated[
        list[str] | None, typer.Argument(help="Program to run with ENTROPY_FLOWS_URI set.")
    ] = None,
    folder: FolderOption = None,
) -> None:
    """Open the campaign's database while a program runs, or until Ctrl-C.

    Example: entropy-flows database silicon/campaign.yaml -- python examples/queries.py
    """
    from entropy_flows.settings import settings
    from entropy_flows.store.connection import database_name
    from entropy_flows.store.uri import without_password

    with open_session(file, folder, is_lasting=True) as session:
        if program:
            code = subprocess.run(program, check=False).returncode
            sys.exit(code)
        uri = settings().uri
        server = without_password(uri.get_secret_value()) if uri else "?"
        campaign = session.store.name
        print(f"database {database_name()} at {server}; campaign {campaign}; Ctrl-C ends this")
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            print()
