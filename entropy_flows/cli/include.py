"""`entropy-flows include`: take cells into the data set again that were excluded."""

from __future__ import annotations

from typing import Annotated

import typer

from entropy_flows.cli.options import CampaignFile, FolderOption
from entropy_flows.launch.session import open_stored


def command(
    file: CampaignFile,
    keys: Annotated[
        list[str], typer.Argument(help="Keys of the cells, as `status` shows them.", metavar="KEY…")
    ],
    why: Annotated[str, typer.Option(help="The reason, if there is one to tell.")] = "",
    folder: FolderOption = None,
) -> None:
    """Take cells in again that were excluded; the row that excluded them stays.

    Example: entropy-flows include silicon/campaign.yaml 001/explore/00003/00140
    """
    with open_stored(file, folder) as session:
        store = session.store
        store.document()  # raises if another version wrote it
        changed = store.include(keys, why)
        excluded = store.excluded()
    for key in keys:
        if key not in changed:
            print(f"{key} was not excluded")
    print(f"{store.name}: {len(changed)} cells included now, {len(excluded)} are excluded")
