"""`entropy-flows verify`: whether all that a campaign has stored fits together."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.table import Table

from entropy_flows.cli.options import CampaignFile, FolderOption
from entropy_flows.launch.session import stored
from entropy_flows.report.terminal import terminal_table
from entropy_flows.store.subject import VerifyResult

SHOWN = 5
"""Lines a check prints of what it found."""


def command(
    file: CampaignFile,
    folder: FolderOption = None,
    deep: Annotated[
        bool,
        typer.Option(
            "--deep",
            help="Compute again all that follows: fingerprints beyond 500, covariances, gains, splits.",
        ),
    ] = False,
) -> None:
    """Check ledger, statistics, labels, models, jobs and files against one another. Nothing is changed.

    The exit code is 1 if anything is wrong. What is only wasted (room, or a result that was lost
    and told) is shown.

    Example: entropy-flows verify silicon/campaign.yaml
    """
    from entropy_flows.launch.manager import workflow_manager
    from entropy_flows.launch.verify import verify

    console = Console()
    with stored(file, folder) as opened, _Bars(console) as bars:
        checks = verify(opened.store, workflow_manager(), deep=deep, on_progress=bars.show)
    console.print(summary(checks))
    for check in checks:
        for lines, colour, what in (
            (check.problems, "red", "wrong"),
            (check.wasted, "yellow", "wasted"),
        ):
            for line in lines[:SHOWN]:
                console.print(
                    f"[{colour}]{check.name}, {what}:[/{colour}] {escape(line)}", soft_wrap=True
                )
            if len(lines) > SHOWN:
                console.print(
                    f"[{colour}]{check.name}, {what}:[/{colour}] and {len(lines) - SHOWN} more"
                )
    wrong = sum(len(check.problems) for check in checks)
    if wrong:
        console.print(f"[red]{opened.store.name}: {wrong} things are wrong[/red]")
        raise typer.Exit(1)
    console.print(f"[green]{opened.store.name}: all is well[/green]")


def summary(checks: list[VerifyResult]) -> Table:
    """How many of what were looked at, and how many are not in order."""
    rows = [["checked", "looked at", "wrong", "wasted"]]
    for check in checks:
        wrong = f"[red]{len(check.problems)}[/red]" if check.problems else "0"
        rows.append([check.name, str(check.looked_at), wrong, str(len(check.wasted))])
    return terminal_table(rows, right_from=1)


class _Bars:
    """A bar for each long check, gone when all are done."""

    def __init__(self, console: Console):
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        self._progress, self._tasks = (
            Progress(*columns, console=console, transient=True),
            dict[str, TaskID](),
        )

    def __enter__(self) -> _Bars:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, name: str, done: int, total: int) -> None:
        """Draw a bar."""
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(name)
        self._progress.update(self._tasks[name], completed=done, total=total)
