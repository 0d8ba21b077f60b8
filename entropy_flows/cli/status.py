"""`entropy-flows status`: how a campaign stands."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from pymongo.database import Database
from rich.console import Console
from rich.table import Table

from entropy_flows.cli.options import CampaignFile, FolderOption, as_typed
from entropy_flows.conventions import GPA
from entropy_flows.evaluate import advise
from entropy_flows.evaluate.succession import decision_lines, model_words
from entropy_flows.launch.session import stored
from entropy_flows.report.labels import HEADER, label_rows
from entropy_flows.schemas import AgnosticParams

FAILED, FLAGGED = HEADER.index("failed"), HEADER.index("flagged")

STATES = {
    "COMPLETED": "completed",
    "RUNNING": "running",
    "READY": "ready",
    "RESERVED": "reserved",
    "WAITING": "waiting",
    "FIZZLED": "fizzled (entropy-flows repair)",
    "PAUSED": "paused (lpad resume_fws)",
    "DEFUSED": "defused (lpad reignite_fws)",
    "ARCHIVED": "archived (for good: submit under a new name)",
}
"""FireWorks' states in words, with what lets such a job go on where somebody has to do
something.
"""
ACTIVE = ("READY", "RESERVED", "RUNNING")
"""States of jobs that run, or will without anybody's doing."""
HELD = ("PAUSED", "DEFUSED", "ARCHIVED")
"""States in which somebody has put a job by `lpad`, and in which it stays until somebody takes
it out.
"""
RELEASE = {"PAUSED": "resume_fws", "DEFUSED": "reignite_fws"}
"""Commands of `lpad` that take jobs out of a state."""


def command(file: CampaignFile, folder: FolderOption = None) -> None:
    """Show a campaign's iterations, errors, whether more labels are worth it, early ends and failed labels.

    Example: entropy-flows status silicon/campaign.yaml
    """
    console = Console()
    with stored(file, folder) as opened:
        document = opened.store.document()
        iterations, failures = opened.store.iterations(), opened.store.failures()
        rows = label_rows(opened.store.labels(stage={"$ne": "import"}))
        counts = job_counts(opened.store.database, opened.store.name)
        engines = opened.store.database["labels"].distinct(
            "provenance.engine", {"campaign": opened.store.name}
        )
    console.print(f"[bold]{document['name']}[/bold] {standing(document, counts)}", soft_wrap=True)
    if engines:
        console.print(f"labels by: {', '.join(engines)}")
    if counts and (document["state"] != "done" or set(counts) != {"COMPLETED"}):
        console.print(f"jobs: {job_line(counts)}", highlight=False)
    for state, command_name in RELEASE.items():
        if state in counts:
            query = json.dumps({"spec.campaign": document["name"]})
            console.print(
                f"{state} jobs go on with: lpad {command_name} -s {state} -q '{query}'",
                soft_wrap=True,
            )
    if "FIZZLED" in counts:
        mend = f"entropy-flows repair {as_typed(file, folder)} --dry-run"
        console.print(
            f"FIZZLED jobs: see `{mend}`",
            style="red",
            soft_wrap=True,
            markup=False,
            highlight=False,
        )
    if isinstance(opened.settings, AgnosticParams):
        from entropy_flows.cli.agnostic import show_runs

        show_runs(console, iterations, failures)
        return
    show(console, iterations, failures)
    if (advice := advise(iterations)) is not None:
        console.print(f"advice ({advice.verdict}): {advice.text}", soft_wrap=True, highlight=False)
    if any(row[FAILED] != "0" or row[FLAGGED] != "0" for row in rows):
        console.print(label_table(rows))
    early = run_table(iterations)
    if early.row_count:
        console.print(early)


def show(
    console: Console, iterations: list[dict[str, Any]], failures: list[dict[str, Any]]
) -> None:
    """Print the iterations' table, and every job that failed, also where its iteration went on without it."""
    console.print(iteration_table(iterations))
    for row in failures:
        console.print(
            f"[red]iteration {row['iteration']}, {row['place']} failed: {row['message']}[/red]"
        )
    for line in decision_lines(iterations):
        console.print(f"[yellow]{line}[/yellow]", highlight=False, soft_wrap=True)
    for line in early_ends(iterations):
        console.print(line, highlight=False, soft_wrap=True)


def early_ends(iterations: list[dict[str, Any]]) -> list[str]:
    """Why selection ended before an iteration's budget was spent, where it did."""
    reasons = {doc["iteration"]: doc.get("select", {}).get("reason") for doc in iterations}
    return [
        f"iteration {number}, selection ended early: {reason}"
        for number, reason in reasons.items()
        if reason
    ]


def label_table(rows: list[list[str]]) -> Table:
    """Labels by condition, of those conditions where some failed or were flagged."""
    table = Table(*HEADER, title="labels that failed, or were flagged and not trained on")
    for row in rows:
        if row[FAILED] != "0" or row[FLAGGED] != "0":
            table.add_row(*row)
    return table


def iteration_table(iterations: list[dict[str, Any]]) -> Table:
    """Counts, entropy and errors, a column an iteration."""
    table = Table("iteration", *(str(doc["iteration"]) for doc in iterations), title="iterations")
    for column in table.columns[1:]:
        column.justify = "right"
    for row in iteration_rows(iterations):
        table.add_row(*row)
    return table


def iteration_rows(iterations: list[dict[str, Any]]) -> list[list[str]]:
    """A quantity and its value in each iteration.

    Errors are before → after the iteration's fine-tuning, on the same held-out cells, which no
    model was trained on.
    """
    return [[name, *(value(doc) for doc in iterations)] for name, value in QUANTITIES.items()]


def _count(stage: str, name: str) -> Callable[[dict[str, Any]], str]:
    return lambda doc: "–" if doc.get(stage, {}).get(name) is None else str(doc[stage][name])


def _rejected(doc: dict[str, Any]) -> str:
    select = doc.get("select")
    return (
        str(select["rejected"] + select["near"] - doc.get("refine", {}).get("accepted", 0))
        if select
        else "–"
    )


def _entropy(mode: str) -> Callable[[dict[str, Any]], str]:
    def value(doc: dict[str, Any]) -> str:
        select = doc.get("select", {})
        after = doc.get("refine", {}).get("entropy_after") or select.get("entropy_after", {})
        if not select:  # iteration 0 has what was imported
            select, after = doc.get("import", {}), doc.get("import", {}).get("entropy_after", {})
        return _change(select.get("entropy_before", {}).get(mode), after.get(mode), 1.0, 1)

    return value


def _errors(name: str, scale: float, digits: int) -> Callable[[dict[str, Any]], str]:
    def value(doc: dict[str, Any]) -> str:
        evaluate = doc.get("evaluate", {})
        return _change(
            evaluate.get("before", {}).get(name), evaluate.get("after", {}).get(name), scale, digits
        )

    return value


def _continues(doc: dict[str, Any]) -> str:
    decision = doc.get("evaluate", {}).get("continues")
    if decision is None:
        return "–"
    words = model_words(decision["iteration"]).removeprefix("the ").removeprefix("model of ")
    return f"{words} (worse)" if decision["worse"] else words


def _change(before: float | None, after: float | None, scale: float, digits: int) -> str:
    if before is None and after is None:
        return "–"
    return f"{_number(before, digits, scale)} → {_number(after, digits, scale)}"


def _number(value: float | None, digits: int, scale: float = 1.0) -> str:
    return "–" if value is None else f"{value * scale:.{digits}f}"


QUANTITIES: dict[str, Callable[[dict[str, Any]], str]] = {
    "imported": _count("import", "entered"),
    "candidates": _count("select", "candidates"),
    "accepted": _count("select", "accepted"),
    "near threshold": _count("select", "near"),
    "refined in": _count("refine", "accepted"),
    "rejected": _rejected,
    "not judged": _count("select", "spent"),
    "anchors": _count("label", "anchors"),
    "labelled": _count("label", "labelled"),
    "failed labels": _count("label", "failed"),
    "flagged labels": _count("label", "flagged"),
    "log det Σ, per atom": _entropy("atom"),
    "log det Σ, per config": _entropy("config"),
    "held-out cells": lambda doc: str(doc.get("evaluate", {}).get("after", {}).get("n", "–")),
    "energy MAE, meV/atom": _errors("energy_mae", 1e3, 2),
    "force MAE, meV/Å": _errors("forces_mae", 1e3, 1),
    "stress MAE, GPa": _errors("stress_mae", GPA, 3),
    "goes on from": _continues,
}


def run_table(iterations: list[dict[str, Any]]) -> Table:
    """Runs that stopped early, and why."""
    table = Table(title="runs that stopped early")
    for header in ("it", "phase", "T K", "k eV", "P GPa", "snapshots", "mean T K", "why"):
        table.add_column(header)
    for doc in iterations:
        for run in doc.get("runs", []):
            if run["reason"]:
                table.add_row(
                    str(doc["iteration"]), run["phase"], f"{run['temperature']:g}", f"{run['k']:g}",
                    f"{run['pressure']:g}", str(run["snapshots"]), _number(run["mean_temperature"], 0), run["reason"],
                )  # fmt: skip
    return table


def stage_line(iterations: list[dict[str, Any]]) -> str:
    """Where the current iteration is, in a few words."""
    if not iterations or iterations[-1]["iteration"] == 0:
        return "iteration 1: no job done yet"
    if searches := [doc["ascend"] for doc in iterations if "ascend" in doc]:
        tried, accepted = (sum(run[name] for run in searches) for name in ("tried", "accepted"))
        ended = sum("entropies" in run for run in searches)
        return f"{len(searches)} searches begun, {ended} ended: accepted {accepted} of {tried} candidates"
    doc = iterations[-1]
    parts = [f"iteration {doc['iteration']}"]
    for stage, words in (
        ("explore", "explored {} batches"),
        ("independent", "{} batches"),
        ("point", "{} points"),
    ):
        if done := sum(name.startswith(stage) for name in doc.get("seconds", {})):
            parts.append(words.format(done))
    if select := doc.get("select"):
        parts.append(f"accepted {select['accepted']} of {select['candidates']}")
    if refine := doc.get("refine"):
        parts.append(f"refined in {refine['accepted']} of {refine['tried']}")
    if label := doc.get("label"):
        parts.append(
            f"labels {label.get('labelled', 0)}/{label['requested']}, failed {label.get('failed', 0)}"
        )
    if train := doc.get("train"):
        parts.append(f"training epoch {train['epoch']}/{train['max_epochs']}")
    if doc.get("evaluate"):
        parts.append(f"E MAE {_errors('energy_mae', 1e3, 2)(doc)} meV/atom")
    return ", ".join(parts)


def job_counts(database: Database, campaign: str) -> dict[str, int]:
    """State → number of a campaign's jobs on the launchpad.

    A job that gathers a wide fan-out is PAUSED by the workers until all of it is there: it is
    counted as WAITING.
    """
    gathers = {"$and": [{"$eq": ["$state", "PAUSED"]}, {"$isArray": "$spec.needs"}]}
    stages: list[dict[str, Any]] = [
        {"$match": {"spec.campaign": campaign}},
        {"$group": {"_id": {"$cond": [gathers, "WAITING", "$state"]}, "n": {"$sum": 1}}},
    ]
    return {row["_id"]: row["n"] for row in database["fireworks"].aggregate(stages)}


def job_line(counts: dict[str, int]) -> str:
    """Jobs by state, also by one that is not known here."""
    order = [*STATES, *sorted(counts.keys() - STATES.keys())]
    return ", ".join(
        f"{counts[state]} {STATES.get(state, state.lower())}"
        for state in order
        if counts.get(state)
    )


def standing(document: dict[str, Any], counts: dict[str, int]) -> str:
    """How a campaign stands, in a few words: its state, or that nobody will do what is left of it."""
    reason = f": {document['message']}" if document["message"] else ""
    if document["state"] == "running" and counts and not any(counts.get(state) for state in ACTIVE):
        held = {state: number for state, number in counts.items() if state in (*HELD, "FIZZLED")}
        if held:
            return f"stands still: {job_line(held)}"
    return f"is {document['state']}{reason}"
