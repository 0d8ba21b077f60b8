"""Lines and tables of a campaign's status on the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from entropy_flows.launch.job_states import ACTIVE_STATES, HELD_STATES, job_line

if TYPE_CHECKING:
    from rich.console import Console

    from entropy_flows.schemas.status import CampaignStatus

NOT_BEGUN = "no stage has ended yet: the table of iterations comes with the first one"


def change_lines(document: Mapping[str, Any]) -> list[str]:
    """Write where a campaign began, and a line for each key that was changed since."""
    from entropy_flows.store.settings_changes import changes_of

    origin = document.get("forked_from")
    lines = []
    if origin:
        again = "; the cells before it labelled again" if origin.get("relabel") else ""
        lines.append(
            f"forked from {origin['campaign']}, from iteration {origin['iteration']} on{again}"
        )
    lines += [
        f"changed {change.at:%Y-%m-%d %H:%M} UTC by {change.by}: {change.text()}"
        for change in changes_of(document)
    ]
    return lines


def show_running(console: Console, status: CampaignStatus) -> None:
    """Print the jobs that somebody works on, how long they take, and whether nobody does."""
    from entropy_flows.report.progress import job_rows, time_left_text
    from entropy_flows.report.terminal import terminal_table

    if status.running:
        console.print(terminal_table(job_rows(status.running)))
    left = time_left_text(status.time_left)
    if left:
        console.print(left, highlight=False, soft_wrap=True)
    if status.nobody:
        console.print(f"[yellow]{status.nobody}[/yellow]", highlight=False, soft_wrap=True)


def show_iterations(
    console: Console,
    iterations: Sequence[Mapping[str, Any]],
    failures: Sequence[Mapping[str, Any]],
) -> None:
    """Print the iterations' table, and every job that failed.

    A failed job is named also where its iteration went on without it.
    """
    from entropy_flows.evaluate.succession import decision_lines
    from entropy_flows.report.iterations import (
        compile_lines,
        iteration_table_rows,
        selection_ends,
    )
    from entropy_flows.report.terminal import terminal_table

    rows = iteration_table_rows(iterations)
    if len(rows) > 1:
        console.print(terminal_table(rows, "iterations", right_from=1))
    else:
        console.print(NOT_BEGUN)
    for failure in failures:
        job = f"iteration {failure['iteration']}, {failure['title']}"
        line = f"{job} failed: {failure['message']}"
        console.print(line, style="red", markup=False, highlight=False, soft_wrap=True)
    for line in decision_lines(iterations):
        console.print(f"[yellow]{line}[/yellow]", highlight=False, soft_wrap=True)
    for line in [*selection_ends(iterations), *compile_lines(iterations)]:
        console.print(line, highlight=False, soft_wrap=True)


def campaign_line(state: str, message: str | None, counts: Mapping[str, int]) -> str:
    """Write a campaign's state, or which jobs it waits for when none of them will run."""
    from entropy_flows.store.holds import HOLD_STATES

    if state in HOLD_STATES.values():
        return f"is {state} {message}"
    reason = f": {message}" if message else ""
    has_active = any(counts.get(name) for name in ACTIVE_STATES)
    if state == "running" and counts and not has_active:
        stopped = {name: n for name, n in counts.items() if name in (*HELD_STATES, "FAILED")}
        if stopped:
            return f"stands still: {job_line(stopped)}"
    return f"is {state}{reason}"
