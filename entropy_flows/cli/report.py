"""`entropy-flows report`: a campaign as one HTML file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from entropy_flows.cli.options import CampaignFile, FolderOption, as_typed
from entropy_flows.launch.session import Session, open_stored

if TYPE_CHECKING:
    from entropy_flows.report.physics_table import Rows


def command(
    file: CampaignFile,
    folder: FolderOption = None,
    umap: Annotated[
        bool, typer.Option("--umap", help="UMAP's coordinates on the map, too (extra umap).")
    ] = False,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
) -> None:
    """Write a campaign as one HTML file: story, map of its cells, errors, failures, cost.

    Example: entropy-flows report silicon/campaign.yaml
    """
    from entropy_flows.cli.status import status_of
    from entropy_flows.report.frozen import write_campaign_page

    typed = as_typed(file, folder)
    with open_stored(file, folder) as session:
        status = status_of(session, session.store.iterations(), typed)
        page = write_campaign_page(
            session.folder / "report",
            session.store,
            session.campaign,
            status,
            _physics(session),
            f"entropy-flows run {typed}",
            umap,
        )
    print(f"report: {page}")
    if open_:
        typer.launch(str(page))


def _physics(session: Session) -> dict[str, Rows]:
    """Return the physics checks of each model; empty if none were made."""
    from entropy_flows.cli.physics import make_plan

    checks = session.store.database["checks"]
    # A plan reads the phases' seed cells, which a campaign without checks need not have at hand.
    if checks.count_documents({"campaign": session.campaign.name}, limit=1) == 0:
        return {}
    return make_plan(session).rows_by_model(session)
