"""`entropy-flows verify`: check that all that a campaign has stored fits together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from entropy_flows.cli.options import CampaignFile, FolderOption
from entropy_flows.launch.session import open_stored

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID

    from entropy_flows.store.verify_context import VerifyResult

MAX_LINES = 5
"""Lines that are printed of what a check found."""


def command(
    file: CampaignFile,
    folder: FolderOption = None,
    deep: Annotated[
        bool,
        typer.Option(
            "--deep",
            help="Compute again all that follows: fingerprints beyond 500, covariances, gains, "
            "splits.",
        ),
    ] = False,
) -> None:
    """Check ledger, statistics, labels, models, jobs and files against one another.

    Nothing is changed. The exit code is 1 if anything is wrong. What is only wasted is shown: disk
    space, or a result that was lost and recorded as lost.

    Example: entropy-flows verify silicon/campaign.yaml
    """
    from rich.console import Console

    from entropy_flows.launch.manager import workflow_manager
    from entropy_flows.launch.verify import verify
    from entropy_flows.report.terminal import terminal_table

    console = Console()
    with open_stored(file, folder) as session, _Bars(console) as bars:
        checks = verify(
            session.store, workflow_manager(session.store), deep=deep, on_progress=bars.show
        )
    console.print(terminal_table(summary_rows(checks), right_from=1))
    for check in checks:
        _show_lines(console, f"[red]{check.name}, wrong:[/red]", check.problems)
        _show_lines(console, f"[yellow]{check.name}, wasted:[/yellow]", check.wasted)
    wrong = sum(len(check.problems) for check in checks)
    if wrong:
        console.print(f"[red]{session.store.name}: {wrong} things are wrong[/red]")
        raise typer.Exit(1)
    console.print(f"[green]{session.store.name}: all is well[/green]")


def summary_rows(checks: Sequence[VerifyResult]) -> list[list[str]]:
    """Count for each check what was looked at, and what is not in order, with a header."""
    rows = [["checked", "looked at", "wrong", "wasted"]]
    for check in checks:
        wrong = f"[red]{len(check.problems)}[/red]" if check.problems else "0"
        rows.append([check.name, str(check.checked), wrong, str(len(check.wasted))])
    return rows


def _show_lines(console: Console, label: str, lines: Sequence[str]) -> None:
    """Print the first of a check's lines, and how many more there are."""
    from rich.markup import escape

    for line in lines[:MAX_LINES]:
        console.print(f"{label} {escape(line)}", soft_wrap=True)
    if len(lines) > MAX_LINES:
        console.print(f"{label} and {len(lines) - MAX_LINES} more")


class _Bars:
    """A bar for each long check, gone when all are done."""

    def __init__(self, console: Console):
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        self._progress = Progress(*columns, console=console, transient=True)
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> _Bars:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, name: str, done: int, total: int) -> None:
        """Draw the bar of a check that is so far done."""
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(name)
        self._progress.update(self._tasks[name], completed=done, total=total)
