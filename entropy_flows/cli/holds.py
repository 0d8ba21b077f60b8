"""Hold a campaign, or let it go on: what `pause`, `cancel` and `resume` share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from entropy_flows.cli.options import as_typed
from entropy_flows.launch.session import open_stored

if TYPE_CHECKING:
    from entropy_flows.store.holds import HoldKind


def hold_campaign(file: Path, folder: Path | None, kind: HoldKind, now: bool) -> None:
    """Keep a campaign's jobs from starting, and print what becomes of those that run.

    Raises
    ------
    ValueError
        If the campaign is done.
    """
    from entropy_flows.launch.manager import workflow_manager
    from entropy_flows.store.holds import HOLD_STATES

    with open_stored(file, folder) as session:
        store = session.store
        manager = workflow_manager(store)
        if store.document()["state"] == "done" and not has_open_jobs(
            manager.job_counts(store.name)
        ):
            raise ValueError(f"campaign {store.name!r} is done: there is nothing to {kind.value}")
        hold = store.set_hold(kind, now)
        manager.apply_hold(store)
        counts = manager.job_counts(store.name)
    print(f"{store.name} is {HOLD_STATES[kind]} {hold}")
    for line in running_lines(counts, hold.now):
        print(line)
    print(f"to go on: entropy-flows resume {as_typed(file, folder)}")


def has_open_jobs(counts: dict[str, int]) -> bool:
    """Return True if jobs run, or may run."""
    from entropy_flows.launch.job_states import ENDED_STATES

    return any(state not in ENDED_STATES for state in counts)


def running_lines(counts: dict[str, int], now: bool) -> list[str]:
    """Write what becomes of the jobs that run, and of those that wait in a queue."""
    lines = []
    running = counts.get("RUNNING", 0)
    if running and now:
        lines.append(f"jobs that run: {running}; they save and stop within seconds")
    elif running:
        lines.append(f"jobs that run: {running}; they end by themselves (--now stops them)")
    queued = counts.get("QUEUED", 0)
    if queued:
        lines.append(f"jobs in the queue: {queued}; they are given back when they start")
    return lines
