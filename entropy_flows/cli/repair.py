"""`entropy-flows repair`: find and mend what dead workers left."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from entropy_flows.cli.options import CampaignFile, FolderOption
from entropy_flows.launch.session import Session, open_stored

if TYPE_CHECKING:
    from rich.console import Console

    from entropy_flows.launch.repair_report import RepairReport


def command(
    file: CampaignFile,
    folder: FolderOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be done; write nothing.")
    ] = False,
    expiry: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Seconds after its last sign of life that a job is lost. Default: ten heartbeats.",
        ),
    ] = None,
    patience: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Seconds for which a lock or a reservation may be a living worker's. "
            "Default: 120.",
        ),
    ] = None,
    retry: Annotated[
        bool,
        typer.Option(
            "--retry", help="Also jobs that were given up, and the last iteration's failed stages."
        ),
    ] = False,
) -> None:
    """Mend what dead workers left of a campaign's jobs; safe while others work on it.

    A worker, a queue or a database may have been killed at any moment.

    Example: entropy-flows repair carbon.yaml --dry-run
    """
    from rich.console import Console

    from entropy_flows.launch.liveness import liveness_criteria
    from entropy_flows.launch.manager import workflow_manager

    console = Console()
    with open_stored(file, folder) as session, ExitStack() as stack:
        session.store.document()  # raises if another version wrote it
        manager = workflow_manager(session.store)
        idle = _is_idle(session, stack)
        criteria = liveness_criteria(session, manager, idle, expiry, patience)
        with console.status("looking for what dead workers left"):
            report = manager.repair(session.store.name, criteria, dry_run=dry_run, retry=retry)
            if retry:
                report += manager.retry_stages(session.store, dry_run)
    show(console, report, dry_run)


def show(console: Console, report: RepairReport, dry_run: bool) -> None:
    """Print every finding, and their number."""
    from entropy_flows.report.terminal import terminal_table

    rows = [["job", "id", "found", "would be" if dry_run else "done"]]
    rows += [
        [finding.name, str(finding.job_id), finding.problem, finding.remedy]
        for finding in report.findings
    ]
    if report.findings:
        console.print(terminal_table(rows))
    console.print(f"would mend: {report}" if dry_run and report else str(report))


def _is_idle(session: Session, stack: ExitStack) -> bool:
    """Return True if no `run` works on the campaign; none starts before the stack is closed."""
    from entropy_flows.faults import MachineError
    from entropy_flows.processes import locked

    try:
        stack.enter_context(locked(session.folder / "run.lock", "this campaign", patience=0))
    except MachineError:
        return False
    return True
