"""`entropy-flows exclude`: leave cells out of a campaign's data set; nothing is deleted."""

from __future__ import annotations

from typing import Annotated

import typer

from entropy_flows.cli.options import CampaignFile, FolderOption
from entropy_flows.launch.session import open_stored


def command(
    file: CampaignFile,
    keys: Annotated[
        list[str],
        typer.Argument(help="Keys of the cells, as `export` writes them.", metavar="KEY…"),
    ],
    why: Annotated[str, typer.Option(help="The reason, which status and report show.")],
    folder: FolderOption = None,
) -> None:
    """Leave cells out of the data set from now on; `include` takes them in again.

    The next training and evaluation do without them, and the statistics from the next iteration
    on. The ledger keeps them, and what was decided with them stays as it is.

    Example: entropy-flows exclude silicon/campaign.yaml 001/explore/00003/00140 --why "two phases"
    """
    from entropy_flows.store.exclusions import STATISTICS, TRAINING

    if not why.strip():
        raise ValueError("--why is empty; expected the reason, in a few words")
    with open_stored(file, folder) as session:
        store = session.store
        store.document()  # raises if another version wrote it
        changed = store.exclude(keys, why)
        excluded = store.excluded()
        training = store.first_iteration_without(TRAINING)
        statistics = store.first_iteration_without(STATISTICS)
    for key in keys:
        if key not in changed:
            row = excluded[key]
            print(f"{key} was excluded before, by {row['by']}: {row['why']}")
    print(f"{store.name}: {len(changed)} cells excluded now, {len(excluded)} in all")
    if changed:
        print(
            f"this counts for the training of iteration {training} and the statistics of "
            f"iteration {statistics}, and from there on"
        )
