"""`entropy-flows delete`: take a campaign out of its database."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from entropy_flows.cli.options import CampaignFile, FolderOption

if TYPE_CHECKING:
    from entropy_flows.store import CampaignStore


def command(
    file: CampaignFile,
    folder: FolderOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete a campaign with its pools and curves: jobs, cells, labels, models, results.

    What other campaigns have stays: models that a fork shares, labels that were copied. The working
    files in the campaign's folder stay, too. A deletion that was interrupted is completed by the
    same command.

    Example: entropy-flows delete silicon/campaign.yaml
    """
    from entropy_flows.cli.run import only_run
    from entropy_flows.jobs.checkpoint import campaign_folder
    from entropy_flows.launch.manager import workflow_manager
    from entropy_flows.launch.session import open_stored
    from entropy_flows.launch.steering import erase, refuse_running

    with open_stored(file, folder) as session, only_run(session):
        manager = workflow_manager(session.store)
        stores = [*derived_stores(session.store), session.store]
        for store in stores:
            refuse_running(store, manager)
        names = ", ".join(store.name for store in stores)
        if not yes:
            _ask(stores, names)
        for store in stores:
            erase(store, manager)
            shutil.rmtree(campaign_folder(store.name), ignore_errors=True)
        working_files = session.folder
    print(f"deleted: {names}")
    if working_files.is_dir():
        print(f"its working files are left: {working_files}")


def derived_stores(store: CampaignStore) -> list[CampaignStore]:
    """Return a campaign's pools and learning curves, which are campaigns of its name and a dot."""
    kinds = ("random-", "independent-", "curve-")
    names = store.database["campaigns"].distinct("name")
    prefixes = tuple(f"{store.name}.{kind}" for kind in kinds)
    return [store.of(name) for name in sorted(names) if name.startswith(prefixes)]


def _ask(stores: list[CampaignStore], names: str) -> None:
    """Ask whether campaigns are to be deleted; anything but yes ends the command."""
    if not sys.stdin.isatty():
        raise ValueError("delete asks first, and there is no terminal to answer: add --yes")
    cells = sum(
        store.database["structures"].count_documents({"campaign": store.name}) for store in stores
    )
    labels = sum(
        store.database["labels"].count_documents({"campaign": store.name}) for store in stores
    )
    typer.confirm(f"delete {names} with {cells} cells and {labels} labels, for good?", abort=True)
