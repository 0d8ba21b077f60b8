"""`entropy-flows curve`: the campaign's pool against random molecular dynamics."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from entropy_flows.cli.options import CampaignFile, FolderOption
from entropy_flows.cli.run import refuse_unfinished, run_workers
from entropy_flows.launch.session import Session, need_shared_database, open_session, open_stored
from entropy_flows.processes import locked
from entropy_flows.report.terminal import terminal_table

if TYPE_CHECKING:
    from entropy_flows.flows import (
        ActiveLearningMaker,
        IndependentTestMaker,
        LearningCurveMaker,
        RandomMDMaker,
    )
    from entropy_flows.launch.manager import ManagerChoice
    from entropy_flows.schemas import Campaign

    AnyMaker = ActiveLearningMaker | IndependentTestMaker | LearningCurveMaker | RandomMDMaker
    Step = tuple[Campaign, AnyMaker]


def command(
    file: CampaignFile,
    folder: FolderOption = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Local workers. Default: one per core.")
    ] = None,
    queue: Annotated[
        bool,
        typer.Option(
            "--queue", help="Start no workers: submit what can be submitted now, for others."
        ),
    ] = False,
    show: Annotated[
        bool, typer.Option("--show", help="Run nothing: tables and page of what there is.")
    ] = False,
) -> None:
    """Compare training on the campaign's cells with training on as many of random dynamics.

    Runs the campaign first if it has not run. Then come the baseline (same grid, k = 0, no filter),
    the independent test, and one training per method, size and seed. The sections `independent` and
    `curve` of the file describe them. What is done is not done again. The pools are campaigns of
    their own: FILE's name with .random-…, .independent-… and .curve-….

    Example: entropy-flows curve silicon/campaign.yaml --workers 2
    """
    from entropy_flows.cli.preflight import preflight

    preflight(file)
    if queue:
        need_shared_database("--queue")
    console = Console()
    opening = open_stored if show else open_session
    with opening(file, folder) as opened_session:
        lock = opened_session.folder / "run.lock"
        with locked(lock, "this campaign", patience=3.0):
            if not show:
                _run(opened_session, console, workers, queue)
            _show(opened_session, console)


def _run(campaign_session: Session, console: Console, workers: int | None, queue: bool) -> None:
    """Run the steps of the curve one after the other, or submit them to the campaign's manager."""
    from entropy_flows.launch.manager import manager_choice

    for campaign, maker in _steps(campaign_session):
        step_session = campaign_session.of(campaign)
        if queue:
            # The next step needs the labels of this one: it is submitted by a later command.
            choice = manager_choice(campaign_session.store)
            if not _submit(step_session, maker, choice, console):
                return
            continue
        console.rule(campaign.name, align="left")
        state, message = run_workers(step_session, console, workers, maker=maker)
        refuse_unfinished(campaign.name, state, message)
        console.print(f"{campaign.name}: {message}")


def _steps(campaign_session: Session) -> Iterator[Step]:
    """Yield the campaign, its pools and its curve, each when the one before it has ended."""
    from entropy_flows.flows import (
        ActiveLearningMaker,
        CurveCampaigns,
        IndependentTestMaker,
        LearningCurveMaker,
        RandomMDMaker,
    )

    campaign = campaign_session.campaign
    yield campaign, ActiveLearningMaker.from_campaign(campaign)
    campaigns = CurveCampaigns.of(campaign_session.store, campaign)
    yield campaigns.independent, IndependentTestMaker.from_campaign(campaign)
    yield campaigns.random, RandomMDMaker.from_campaign(campaign, size=campaigns.size)
    yield campaigns.curve, LearningCurveMaker.from_campaign(campaign, campaigns.pools)


def _submit(step_session: Session, maker: Any, choice: ManagerChoice, console: Console) -> bool:
    """Submit a step; return whether it is done, so that the next may follow."""
    from entropy_flows.launch.submit import submit

    store = step_session.store
    base = step_session.file.parent
    if submit(store, step_session.settings, base, maker, choice).added:
        console.print(f"{store.name}: submitted; run this command again when it is done")
        return False
    state = store.document()["state"]
    console.print(f"{store.name}: {state}")
    return bool(state == "done")


def _show(campaign_session: Session, console: Console) -> None:
    """Print the curve's tables, and write its page."""
    from entropy_flows.report.curve import curve_tables, write_curve_page
    from entropy_flows.report.curve_results import CurveResults

    results = CurveResults.read(campaign_session.store, campaign_session.campaign)
    if not results.points:
        console.print(f"{results.campaigns.curve.name}: no point yet")
        return
    for table in curve_tables(results.points):
        console.print(terminal_table(table.rows, table.title))
    page = write_curve_page(results, campaign_session.folder / "curve")
    console.print(f"page: {page}", soft_wrap=True)
