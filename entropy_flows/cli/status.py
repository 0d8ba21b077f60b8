"""`entropy-flows status`: the state of a campaign."""

from __future__ import annotations

import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from entropy_flows.cli.options import CampaignFile, FolderOption, as_typed
from entropy_flows.cli.status_lines import (
    campaign_line,
    change_lines,
    show_iterations,
    show_running,
)
from entropy_flows.launch.job_states import RELEASED_STATES, job_line
from entropy_flows.launch.session import Session, open_stored

if TYPE_CHECKING:
    from rich.console import Console

    from entropy_flows.schemas.status import CampaignStatus

MAX_FAILED_VIEWS = 12
"""Looks in a row without an answer after which a watch ends."""


def command(
    file: CampaignFile,
    folder: FolderOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print all of it as JSON, for other programs.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show it again and again, until the campaign ends.")
    ] = False,
    every: Annotated[
        float, typer.Option(min=1.0, help="Seconds between two looks, with --watch.")
    ] = 5.0,
    with_map: Annotated[
        bool, typer.Option("--map/--no-map", help="Show the conditions as a map of blocks.")
    ] = True,
) -> None:
    """Show what runs now and how long it takes, iterations, errors, advice, failed labels.

    Example: entropy-flows status silicon/campaign.yaml --watch
    """
    from rich.console import Console

    console = Console()
    if not watch:
        view = StatusView.read(file, folder)
        if as_json:
            print(view.status.model_dump_json(indent=2))
        else:
            view.show(console, with_map)
        return
    for view in views(file, folder, every):
        if as_json:
            print(view.status.model_dump_json(), flush=True)
        else:
            if console.is_terminal:
                console.clear()
            view.show(console, with_map)


def views(file: Path, folder: Path | None, every: float) -> Iterator[StatusView]:
    """Yield views of a campaign until nothing changes any more.

    A database that does not answer, such as an embedded one between two commands, is waited for
    once it has been seen.
    """
    from entropy_flows.faults import is_machine_fault

    n_failed = 0
    view: StatusView | None = None
    while view is None or not view.is_over:
        try:
            view = StatusView.read(file, folder)
        except Exception as err:
            if view is None or n_failed == MAX_FAILED_VIEWS or not is_machine_fault(err):
                raise
            n_failed += 1
            print(f"cannot look now ({type(err).__name__}); waiting", file=sys.stderr)
        else:
            n_failed = 0
            yield view
        if view is None or not view.is_over:
            time.sleep(every)


@dataclass(frozen=True)
class StatusView:
    """Hold what was read of a campaign.

    Attributes
    ----------
    status
        The campaign as it is now.
    iterations, failures, labels
        Its documents.
    excluded
        Who has excluded which cells.
    waiting
        Number of cells that wait to be approved.
    changes, model
        Lines on settings that were changed and models that were trained again, and on the model.
    typed
        Its file and folder as arguments of a command.
    is_agnostic
        True of a data set without physics.
    """

    status: CampaignStatus
    iterations: Sequence[Mapping[str, Any]]
    failures: Sequence[Mapping[str, Any]]
    labels: Sequence[Sequence[str]]
    excluded: Collection[Mapping[str, Any]]
    waiting: int
    changes: Sequence[str]
    model: Sequence[str]
    typed: str
    is_agnostic: bool

    @classmethod
    def read(cls, file: Path, folder: Path | None) -> StatusView:
        """Open the campaign's database and read it."""
        from entropy_flows.cli.model import model_lines
        from entropy_flows.report.conditions import condition_counts
        from entropy_flows.report.labels import label_rows
        from entropy_flows.report.versions import version_lines
        from entropy_flows.schemas import Campaign

        typed = as_typed(file, folder)
        with open_stored(file, folder) as session:
            store = session.store
            document = store.document()
            iterations = store.iterations()
            status = status_of(session, iterations, typed)
            status.conditions = condition_counts(store, iterations)
            return cls(
                status=status,
                iterations=iterations,
                failures=store.failures(),
                labels=label_rows(store.labels(stage={"$ne": "import"})),
                excluded=list(store.excluded().values()),
                waiting=len(store.waiting()),
                changes=[*change_lines(document), *version_lines(store.versions())],
                model=model_lines(session, typed),
                typed=typed,
                is_agnostic=not isinstance(session.settings, Campaign),
            )

    @property
    def is_over(self) -> bool:
        """True if nothing changes any more by itself."""
        has_ended = self.status.state in ("done", "failed", "cancelled")
        return has_ended or self.status.nobody is not None

    def show(self, console: Console, with_map: bool = True) -> None:
        """Print all of it, and a map of the conditions unless it is not wanted."""
        from entropy_flows.cli.model import print_lines

        status = self.status
        line = campaign_line(status.state, status.message, status.jobs)
        console.print(f"[bold]{status.campaign}[/bold] {line}", soft_wrap=True)
        if status.engines:
            console.print(f"labels by: {', '.join(status.engines)}")
        for line in self.changes:
            console.print(line, soft_wrap=True, markup=False, highlight=False)
        self._show_jobs(console)
        if self.is_agnostic:
            from entropy_flows.cli.agnostic import show_searches

            show_searches(console, self.iterations, self.failures)
            return
        show_iterations(console, self.iterations, self.failures)
        if status.advice:
            advice = "advice ({verdict}): {text}".format(**status.advice)
            console.print(advice, soft_wrap=True, highlight=False)
        if with_map and len(status.conditions) > 1:
            from entropy_flows.report.condition_map import ConditionMap

            console.print(ConditionMap(status.conditions))
        self._show_labels(console)
        print_lines(console, self.model)

    def _show_jobs(self, console: Console) -> None:
        """Print who works on what, and the commands for jobs that do not go on by themselves."""
        counts = self.status.jobs
        is_finished = self.status.state == "done" and set(counts) == {"COMPLETED"}
        if counts and not is_finished:
            console.print(f"jobs: {job_line(counts)}", highlight=False)
        show_running(console, self.status)
        if any(counts.get(state) for state in RELEASED_STATES):
            line = f"to go on: entropy-flows resume {self.typed}"
            console.print(line, soft_wrap=True, markup=False, highlight=False)
        if self.waiting:
            line = f"{self.waiting} cells wait for: entropy-flows approve {self.typed}"
            console.print(line, soft_wrap=True, markup=False, highlight=False)
        if "FAILED" in counts:
            line = f"failed jobs: see `entropy-flows repair {self.typed} --dry-run`"
            console.print(line, style="red", soft_wrap=True, markup=False, highlight=False)

    def _show_labels(self, console: Console) -> None:
        """Print which labels failed, which cells are excluded, and which runs stopped early."""
        from entropy_flows.report.exclusions import EXCLUSION_HEADER, exclusion_rows
        from entropy_flows.report.iterations import ENDED_RUN_HEADER, ended_run_rows
        from entropy_flows.report.labels import LABEL_HEADER, has_failures
        from entropy_flows.report.terminal import terminal_table

        failed_labels = [row for row in self.labels if has_failures(row)]
        if failed_labels:
            title = "labels that failed, or were flagged and not trained on"
            console.print(terminal_table([LABEL_HEADER, *failed_labels], title))
        if self.excluded:
            rows = [EXCLUSION_HEADER, *exclusion_rows(self.excluded)]
            console.print(terminal_table(rows, "cells excluded from the data set"))
        ended_runs = ended_run_rows(self.iterations)
        if ended_runs:
            console.print(
                terminal_table([ENDED_RUN_HEADER, *ended_runs], "runs that stopped early")
            )


def status_of(
    session: Session,
    iterations: Sequence[Mapping[str, Any]],
    typed: str,
    workers: int | None = None,
) -> CampaignStatus:
    """Read a campaign's state and jobs.

    Parameters
    ----------
    session
        The campaign.
    iterations
        Documents of its iterations.
    typed
        Its file and folder as arguments of a command.
    workers
        Number of jobs that run at once; None takes that of the jobs that run now.
    """
    from entropy_flows.launch.manager import workflow_manager
    from entropy_flows.launch.status import read_status

    manager = workflow_manager(session.store)
    go_on = manager.start_command(typed, session.embedded)
    return read_status(session, manager, go_on, iterations=iterations, workers=workers)
