"""`entropy-flows curve`: the campaign's pool against random molecular dynamics, as learning curves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from entropy_flows.cli.check import preflight
from entropy_flows.cli.run import run_workers
from entropy_flows.cli.session import CampaignFile, FolderOption, Session, session
from entropy_flows.processes import locked

if TYPE_CHECKING:
    from entropy_flows.flows import ActiveLearningMaker, IndependentTestMaker, LearningCurveMaker, RandomMDMaker
    from entropy_flows.schemas import Campaign

    AnyMaker = ActiveLearningMaker | IndependentTestMaker | LearningCurveMaker | RandomMDMaker

Step = tuple["Campaign", "AnyMaker"]


def command(
    file: CampaignFile,
    folder: FolderOption = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Local workers. Default: one per core.")] = None,
    queue: Annotated[
        bool, typer.Option("--queue", help="Start no workers: submit what can be submitted now, for `qlaunch`.")
    ] = False,
    show: Annotated[bool, typer.Option("--show", help="Run nothing: tables and page of what there is.")] = False,
) -> None:
    """Compare training on the campaign's cells with training on as many of random molecular dynamics.

    Runs the campaign first if it has not run, then the baseline (same grid, k = 0, no filter), the independent test
    and one training per method, size and seed, as the sections `independent` and `curve` of the file say. What is done
    is not done again. The pools are campaigns of their own: FILE's name with .random, .independent and .curve.

    Example: entropy-flows curve silicon/campaign.yaml --workers 2
    """
    preflight(file)
    console = Console()
    with session(file, folder) as opened, locked(opened.folder / "run.lock", "this campaign", patience=3.0):
        if not show:
            _run(opened, console, workers, queue)
        _tell(opened, console)


def _run(opened: Session, console: Console, workers: int | None, queue: bool) -> None:
    for campaign, maker in _steps(opened):
        part = replace(opened, campaign=campaign, store=type(opened.store)(opened.store.database, campaign.name))
        if queue:
            if not _submitted(part, maker, console):
                return
            continue
        console.rule(campaign.name, align="left")
        state, message = run_workers(part, console, workers, maker=maker)
        if state == "failed":
            raise RuntimeError(f"{campaign.name} failed: {message}")
        console.print(f"{campaign.name}: {message}")


def _steps(opened: Session) -> Iterator[Step]:
    """The campaign, its pools and its curve; the baseline gets as many labels as the campaign's pool has."""
    from entropy_flows.flows import (
        ActiveLearningMaker,
        IndependentTestMaker,
        LearningCurveMaker,
        RandomMDMaker,
        pool_of,
    )
    from entropy_flows.flows.learning_curve import CURVE
    from entropy_flows.flows.pools import INDEPENDENT, RANDOM
    from entropy_flows.jobs.curve import CHOSEN

    campaign = opened.campaign
    yield campaign, ActiveLearningMaker.from_campaign(campaign)
    yield pool_of(campaign, INDEPENDENT), IndependentTestMaker.from_campaign(campaign)
    size = len(list(opened.store.labels(converged=True, **CHOSEN)))
    yield pool_of(campaign, RANDOM), RandomMDMaker.from_campaign(campaign, size=size)
    yield pool_of(campaign, CURVE), LearningCurveMaker.from_campaign(campaign)


def _submitted(part: Session, maker: Any, console: Console) -> bool:
    """Submit one step; whether it is done, so that the next may follow."""
    from entropy_flows.launch import submit

    name = part.campaign.name
    if submit(part.store, part.campaign, part.file.parent, maker):
        console.print(f"{name}: submitted; run this command again when it is done")
        return False
    state = part.store.document()["state"]
    console.print(f"{name}: {state}")
    return state == "done"


def _tell(opened: Session, console: Console) -> None:
    from entropy_flows.cli.curve_page import curve_tables, write_page
    from entropy_flows.flows.learning_curve import CURVE

    name = f"{opened.campaign.name}.{CURVE}"
    store = type(opened.store)(opened.store.database, name)
    points = store.points()
    if not points:
        console.print(f"{name}: no point yet")
        return
    for title, rows, _ in curve_tables(points):
        table = Table(*rows[0], title=title)
        for row in rows[1:]:
            table.add_row(*row)
        console.print(table)
    console.print(f"page: {write_page(opened, store, points)}", soft_wrap=True)
