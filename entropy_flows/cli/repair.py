"""`entropy-flows repair`: find and mend what dead workers left."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from entropy_flows.cli.options import CampaignFile, FolderOption
from entropy_flows.faults import MachineError
from entropy_flows.launch.session import Session, stored
from entropy_flows.processes import locked

if TYPE_CHECKING:
    from fireworks import LaunchPad

    from entropy_flows.launch.liveness import LivenessCriteria
    from entropy_flows.launch.repair import RepairReport

PATIENCE = 120.0


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
    from entropy_flows.launch.launchpad import launchpad
    from entropy_flows.launch.repair import repair, retry_stages

    console = Console()
    with stored(file, folder) as opened, ExitStack() as stack:
        opened.store.document()  # says so if another version wrote it
        pad = launchpad()
        evidence = gather(opened, pad, _is_idle(opened, stack), expiry, patience)
        with console.status("looking for what dead workers left"):
            mended = repair(pad, opened.store.name, evidence, dry_run=dry_run, retry=retry)
            if retry:
                mended += retry_stages(pad, opened.store, dry_run)
    show(console, mended, dry_run)


def gather(
    opened: Session,
    pad: LaunchPad,
    idle: bool,
    expiry: float | None = None,
    patience: float | None = None,
) -> LivenessCriteria:
    """What is known here of who is dead.

    Parameters
    ----------
    opened
        The campaign.
    pad
        The launchpad.
    idle
        No `run` works in the campaign's folder now. Where the database is the campaign's own there
        are no other workers than its, and whatever is half done was left so.
    expiry, patience
        As of `LivenessCriteria`, in seconds; None takes the defaults.
    """
    from entropy_flows.launch.liveness import LivenessCriteria, usual_expiry
    from entropy_flows.launch.local import ended_workers, local_workers
    from entropy_flows.launch.queue import queue_jobs

    name = opened.store.name
    alone = idle and opened.embedded
    default = 0.0 if alone else PATIENCE
    return LivenessCriteria(
        dead=frozenset(local_workers(pad, name)) if alone else ended_workers(pad, name),
        expiry=usual_expiry() if expiry is None else expiry,
        queue=None if opened.embedded else queue_jobs(),
        patience=default if patience is None else patience,
    )


def show(console: Console, mended: RepairReport, dry_run: bool) -> None:
    """Print every finding, and their number."""
    table = Table("job", "id", "found", "would be" if dry_run else "done")
    for finding in mended.findings:
        table.add_row(finding.name, str(finding.fw_id), finding.found, finding.done)
    if table.row_count:
        console.print(table)
    console.print(f"would mend: {mended}" if dry_run and mended else str(mended))


def _is_idle(opened: Session, stack: ExitStack) -> bool:
    """Whether no `run` works on the campaign; none starts to before the stack is closed."""
    try:
        stack.enter_context(locked(opened.folder / "run.lock", "this campaign", patience=0))
    except MachineError:
        return False
    return True
