"""`entropy-flows repair`: find and mend what dead workers left."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from entropy_flows.cli.options import CampaignFile, FolderOption
from entropy_flows.faults import MachineError
from entropy_flows.launch.session import Session, stored
from entropy_flows.processes import locked
from entropy_flows.report.terminal import terminal_table

if TYPE_CHECKING:
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
            help="Seconds for which a lock or a reservation may be a living worker's. Default: 120.",
        ),
    ] = None,
    retry: Annotated[
        bool,
        typer.Option(
            "--retry", help="Also jobs that were given up, and the last iteration's failed stages."
        ),
    ] = False,
) -> None:
    """Mend what killed workers, queues and databases left of a campaign's jobs; safe while others work on it.

    Example: entropy-flows repair carbon.yaml --dry-run
    """
    from entropy_flows.launch.liveness import liveness_criteria
    from entropy_flows.launch.manager import workflow_manager

    console = Console()
    with stored(file, folder) as opened, ExitStack() as stack:
        opened.store.document()  # says so if another version wrote it
        manager = workflow_manager()
        idle = _is_idle(opened, stack)
        criteria = liveness_criteria(opened, manager, idle, expiry, patience)
        with console.status("looking for what dead workers left"):
            report = manager.repair(opened.store.name, criteria, dry_run=dry_run, retry=retry)
            if retry:
                report += manager.retry_stages(opened.store, dry_run)
    show(console, report, dry_run)


def show(console: Console, mended: RepairReport, dry_run: bool) -> None:
    """Print every finding, and their number."""
    rows = [
        [finding.name, str(finding.job_id), finding.problem, finding.remedy]
        for finding in mended.findings
    ]
    if rows:
        header = ["job", "id", "found", "would be" if dry_run else "done"]
        console.print(terminal_table([header, *rows]))
    console.print(f"would mend: {mended}" if dry_run and mended else str(mended))


def _is_idle(opened: Session, stack: ExitStack) -> bool:
    """Whether no `run` works on the campaign; none starts to before the stack is closed."""
    try:
        stack.enter_context(locked(opened.folder / "run.lock", "this campaign", patience=0))
    except MachineError:
        return False
    return True
