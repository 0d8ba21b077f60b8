"""`entropy-flows curve`: the campaign's pool against random molecular dynamics, as learning curves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from entropy_flows.cli.check import preflight
from entropy_flows.cli.options import CampaignFile, FolderOption
from entropy_flows.cli.run import refuse_unfinished, run_workers
from entropy_flows.launch.session import Session, need_shared_database, session, stored
from entropy_flows.processes import locked
from entropy_flows.report.terminal import shown

if TYPE_CHECKING:
    from entropy_flows.flows import (
        ActiveLearningMaker,
        IndependentTestMaker,
        LearningCurveMaker,
        RandomMDMaker,
    )
    from entropy_flows.schemas import Campaign

    AnyMaker = ActiveLearningMaker | IndependentTestMaker | LearningCurveMaker | RandomMDMaker

Step = tuple["Campaign", "AnyMaker"]


@dataclass(frozen=True)
class CurveCampaigns:
    """The campaigns that belong to a campaign's learning curve.

    Attributes
    ----------
    size
        Labels of the campaign's own pool, and of the baseline.
    random, independent, curve
        Baseline, independent test and the curve's own.
    pools
        Pool → campaign.
    """

    size: int
    random: Campaign
    independent: Campaign
    curve: Campaign
    pools: dict[str, str]

    @classmethod
    def of(cls, opened: Session) -> CurveCampaigns:
        """As the campaign is now."""
        from entropy_flows.flows import curve_of, independent_pool, random_pool
        from entropy_flows.jobs.curve import CHOSEN

        campaign = opened.campaign
        size = sum(1 for _ in opened.store.labels(converged=True, **CHOSEN))
        random, independent = random_pool(campaign, size), independent_pool(campaign)
        pools = {"entropy": campaign.name, "random": random.name, "independent": independent.name}
        return cls(size, random, independent, curve_of(campaign, pools), pools)


def command(
    file: CampaignFile,
    folder: FolderOption = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Local workers. Default: one per core.")
    ] = None,
    queue: Annotated[
        bool,
        typer.Option(
            "--queue", help="Start no workers: submit what can be submitted now, for `qlaunch`."
        ),
    ] = False,
    show: Annotated[
        bool, typer.Option("--show", help="Run nothing: tables and page of what there is.")
    ] = False,
) -> None:
    """Compare training on the campaign's cells with training on as many of random molecular dynamics.

    Runs the campaign first if it has not run, then the baseline (same grid, k = 0, no filter), the
    independent test and one training per method, size and seed, as the sections `independent` and
    `curve` of the file say. What is done is not done again. The pools are campaigns of their own:
    FILE's name with .random-…, .independent-… and .curve-….

    Example: entropy-flows curve silicon/campaign.yaml --workers 2
    """
    preflight(file)
    if queue:
        need_shared_database("--queue")
    console, opening = Console(), stored if show else session
    with (
        opening(file, folder) as opened,
        locked(opened.folder / "run.lock", "this campaign", patience=3.0),
    ):
        if not show:
            _run(opened, console, workers, queue)
        _tell(opened, console)


def _run(opened: Session, console: Console, workers: int | None, queue: bool) -> None:
    for campaign, maker in _steps(opened):
        part = opened.of(campaign)
        if queue:
            if not _submitted(part, maker, console):
                return
            continue
        console.rule(campaign.name, align="left")
        state, message = run_workers(part, console, workers, maker=maker)
        refuse_unfinished(campaign.name, state, message)
        console.print(f"{campaign.name}: {message}")


def _steps(opened: Session) -> Iterator[Step]:
    """The campaign, its pools and its curve, each when the one before it has ended."""
    from entropy_flows.flows import (
        ActiveLearningMaker,
        IndependentTestMaker,
        LearningCurveMaker,
        RandomMDMaker,
    )

    campaign = opened.campaign
    yield campaign, ActiveLearningMaker.from_campaign(campaign)
    parts = CurveCampaigns.of(opened)
    yield parts.independent, IndependentTestMaker.from_campaign(campaign)
    yield parts.random, RandomMDMaker.from_campaign(campaign, size=parts.size)
    yield parts.curve, LearningCurveMaker.from_campaign(campaign, parts.pools)


def _submitted(part: Session, maker: Any, console: Console) -> bool:
    """Submit one step; whether it is done, so that the next may follow."""
    from entropy_flows.launch.submit import submit

    name = part.store.name
    if submit(part.store, part.settings, part.file.parent, maker):
        console.print(f"{name}: submitted; run this command again when it is done")
        return False
    state = part.store.document()["state"]
    console.print(f"{name}: {state}")
    return state == "done"


def _tell(opened: Session, console: Console) -> None:
    from entropy_flows.report.curve import curve_tables, write_page

    parts = CurveCampaigns.of(opened)
    points = opened.store.of(parts.curve.name).points()
    if not points:
        console.print(f"{parts.curve.name}: no point yet")
        return
    for title, rows, _ in curve_tables(points):
        console.print(shown(title, rows))
    console.print(f"page: {write_page(opened, parts, points)}", soft_wrap=True)
