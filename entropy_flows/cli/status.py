"""`entropy-flows status`: the state of a campaign."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console

from entropy_flows.cli.model import model_lines, print_lines
from entropy_flows.cli.options import CampaignFile, FolderOption, as_typed
from entropy_flows.launch.job_states import ACTIVE_STATES, HELD_STATES, RELEASED_STATES, job_line
from entropy_flows.launch.session import open_stored
from entropy_flows.report.terminal import terminal_table


def command(file: CampaignFile, folder: FolderOption = None) -> None:
    """Show iterations, errors, advice on more labels, selections that ended early, failed labels.

    Example: entropy-flows status silicon/campaign.yaml
    """
    from entropy_flows.evaluate import advise
    from entropy_flows.launch.manager import workflow_manager
    from entropy_flows.report.iterations import ENDED_RUN_HEADER, ended_run_rows
    from entropy_flows.schemas import AgnosticParams

    console = Console()
    with open_stored(file, folder) as session:
        store = session.store
        document = store.document()
        iterations = store.iterations()
        failures = store.failures()
        labels = list(store.labels(stage={"$ne": "import"}))
        counts = workflow_manager().job_counts(store.name)
        excluded = store.excluded()
        waiting = len(store.waiting())
        engines = store.database["labels"].distinct("provenance.engine", {"campaign": store.name})
        model = model_lines(session, as_typed(file, folder))
    line = campaign_line(document, counts)
    console.print(f"[bold]{document['name']}[/bold] {line}", soft_wrap=True)
    if engines:
        console.print(f"labels by: {', '.join(engines)}")
    for line in change_lines(document):
        console.print(line, soft_wrap=True, markup=False, highlight=False)
    _show_jobs(console, document, counts, waiting, as_typed(file, folder))
    if isinstance(session.settings, AgnosticParams):
        from entropy_flows.cli.agnostic import show_searches

        show_searches(console, iterations, failures)
        return
    show_iterations(console, iterations, failures)
    advice = advise(iterations)
    if advice is not None:
        console.print(f"advice ({advice.verdict}): {advice.text}", soft_wrap=True, highlight=False)
    _show_failed_labels(console, labels)
    _show_excluded(console, excluded.values())
    ended_runs = ended_run_rows(iterations)
    if ended_runs:
        console.print(terminal_table([ENDED_RUN_HEADER, *ended_runs], "runs that stopped early"))
    print_lines(console, model)


def change_lines(document: Mapping[str, Any]) -> list[str]:
    """Write where a campaign began, and a line for each key that was changed since."""
    from entropy_flows.store.settings_changes import changes_of

    origin = document.get("forked_from")
    lines = []
    if origin:
        lines.append(f"forked from {origin['campaign']}, from iteration {origin['iteration']} on")
    lines += [
        f"changed {change.at:%Y-%m-%d %H:%M} UTC by {change.by}: {change.text()}"
        for change in changes_of(document)
    ]
    return lines


def _show_failed_labels(console: Console, labels: Iterable[Mapping[str, Any]]) -> None:
    """Print how many labels failed or were flagged, by the condition of their cells."""
    from entropy_flows.report.labels import LABEL_HEADER, has_failures, label_rows

    rows = [row for row in label_rows(labels) if has_failures(row)]
    if rows:
        title = "labels that failed, or were flagged and not trained on"
        console.print(terminal_table([LABEL_HEADER, *rows], title))


def _show_excluded(console: Console, excluded: Collection[Mapping[str, Any]]) -> None:
    """Print who has excluded which cells, when and why."""
    from entropy_flows.report.exclusions import EXCLUSION_HEADER, exclusion_rows

    if excluded:
        rows = [EXCLUSION_HEADER, *exclusion_rows(excluded)]
        console.print(terminal_table(rows, "cells excluded from the data set"))


def _show_jobs(
    console: Console,
    document: Mapping[str, Any],
    counts: Mapping[str, int],
    waiting: int,
    typed: str,
) -> None:
    """Print how many jobs there are in each state, and the commands that let them go on."""
    is_over = document["state"] == "done" and set(counts) == {"COMPLETED"}
    if counts and not is_over:
        console.print(f"jobs: {job_line(counts)}", highlight=False)
    if any(counts.get(state) for state in RELEASED_STATES):
        line = f"to go on: entropy-flows resume {typed}"
        console.print(line, soft_wrap=True, markup=False, highlight=False)
    if waiting:
        line = f"{waiting} cells wait for: entropy-flows approve {typed}"
        console.print(line, soft_wrap=True, markup=False, highlight=False)
    if "FIZZLED" in counts:
        line = f"FIZZLED jobs: see `entropy-flows repair {typed} --dry-run`"
        console.print(line, style="red", soft_wrap=True, markup=False, highlight=False)


def show_iterations(
    console: Console,
    iterations: Sequence[Mapping[str, Any]],
    failures: Sequence[Mapping[str, Any]],
) -> None:
    """Print the iterations' table, and every job that failed.

    A failed job is named also where its iteration went on without it.
    """
    from entropy_flows.evaluate.succession import decision_lines
    from entropy_flows.report.iterations import iteration_table_rows, selection_ends

    console.print(terminal_table(iteration_table_rows(iterations), "iterations", right_from=1))
    for failure in failures:
        job = f"iteration {failure['iteration']}, {failure['title']}"
        console.print(f"[red]{job} failed: {failure['message']}[/red]")
    for line in decision_lines(iterations):
        console.print(f"[yellow]{line}[/yellow]", highlight=False, soft_wrap=True)
    for line in selection_ends(iterations):
        console.print(line, highlight=False, soft_wrap=True)


def campaign_line(document: Mapping[str, Any], counts: Mapping[str, int]) -> str:
    """Write a campaign's state, or which jobs it waits for when none of them will run."""
    from entropy_flows.store.holds import HOLD_STATES, standing

    state, message = standing(document)
    if state in HOLD_STATES.values():
        return f"is {state} {message}"
    reason = f": {message}" if message else ""
    has_active = any(counts.get(state) for state in ACTIVE_STATES)
    if document["state"] == "running" and counts and not has_active:
        stopped = {state: n for state, n in counts.items() if state in (*HELD_STATES, "FIZZLED")}
        if stopped:
            return f"stands still: {job_line(stopped)}"
    return f"is {state}{reason}"
