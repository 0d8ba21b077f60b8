"""`entropy-flows status`: how a campaign stands."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from entropy_flows.cli.session import CampaignFile, FolderOption, session

STAGES = ("explore", "select", "refine", "label", "train", "evaluate")


def command(file: CampaignFile, folder: FolderOption = None) -> None:
    """Show a campaign's iterations, errors, runs that stopped early and failed labels.

    Example: entropy-flows status silicon/campaign.yaml
    """
    console = Console()
    with session(file, folder) as opened:
        document = opened.store.document()
        iterations = opened.store.iterations()
        engines = opened.store.database["labels"].distinct("provenance.engine", {"campaign": opened.campaign.name})
    reason = f": {document['message']}" if document["message"] else ""
    console.print(f"[bold]{document['name']}[/bold] is {document['state']}{reason}")
    if engines:
        console.print(f"labels by: {', '.join(engines)}")
    console.print(iteration_table(iterations))
    for doc in iterations:
        for failure in [doc["failure"]] if doc.get("failure") else []:
            console.print(f"[red]iteration {doc['iteration']}, {failure['stage']}: {failure['message']}[/red]")
    early = run_table(iterations)
    if early.row_count:
        console.print(early)


def iteration_table(iterations: list[dict[str, Any]]) -> Table:
    """Counts, entropy and errors, a row an iteration."""
    table = Table(title="iterations")
    headers = ["it", "candidates", "accepted", "refined in", "rejected", "over budget", "anchors", "labelled", "failed",
               "log det atom", "log det config", "E MAE meV/atom", "F MAE meV/Å", "S MAE GPa"]  # fmt: skip
    for header in headers:
        table.add_column(header, justify="right")
    for row in iteration_rows(iterations):
        table.add_row(*row)
    return table


def iteration_rows(iterations: list[dict[str, Any]]) -> list[list[str]]:
    """The table's cells; errors are before → after the iteration's fine-tuning, on the same held-out cells."""
    rows = []
    for doc in iterations:
        select, refine, label = doc.get("select", {}), doc.get("refine", {}), doc.get("label", {})
        evaluate = doc.get("evaluate", {})
        final = refine.get("entropy_after") or select.get("entropy_after") or {}
        refused = select.get("near", 0) - refine.get("accepted", 0) + select.get("rejected", 0)
        rows.append(
            [
                str(doc["iteration"]),
                _text(select.get("candidates")),
                _text(select.get("accepted")),
                _text(refine.get("accepted")),
                _text(refused if select else None),
                _text(select.get("spent")),
                _text(label.get("anchors")),
                _text(label.get("labelled")),
                _text(label.get("failed")),
                *(_change(select.get("entropy_before", {}).get(m), final.get(m), 1.0, 1) for m in ("atom", "config")),
                _errors(evaluate, "energy_mae", 1e3),
                _errors(evaluate, "forces_mae", 1e3),
                _errors(evaluate, "stress_mae", 160.21766, 2),
            ]
        )
    return rows


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
    if not iterations:
        return "iteration 1: explore"
    doc = iterations[-1]
    parts = [f"iteration {doc['iteration']}"]
    explored = sum(name.startswith("explore") for name in doc.get("seconds", {}))
    parts.append(f"explored {explored} batches")
    if select := doc.get("select"):
        parts.append(f"accepted {select['accepted']} of {select['candidates']}")
    if refine := doc.get("refine"):
        parts.append(f"refined in {refine['accepted']} of {refine['tried']}")
    if label := doc.get("label"):
        parts.append(f"labels {label.get('labelled', 0)}/{label['requested']}, failed {label.get('failed', 0)}")
    if train := doc.get("train"):
        parts.append(f"training epoch {train['epoch']}/{train['max_epochs']}")
    if evaluate := doc.get("evaluate"):
        parts.append(f"E MAE {_errors(evaluate, 'energy_mae', 1e3)} meV/atom")
    return ", ".join(parts)


def job_line(counts: dict[str, int]) -> str:
    """Jobs by state."""
    order = ("COMPLETED", "RUNNING", "READY", "RESERVED", "WAITING", "FIZZLED")
    return ", ".join(f"{counts[state]} {state.lower()}" for state in order if counts.get(state))


def _errors(evaluate: dict[str, Any], name: str, scale: float, digits: int = 1) -> str:
    before, after = evaluate.get("before", {}).get(name), evaluate.get("after", {}).get(name)
    return _change(before, after, scale, digits)


def _change(before: float | None, after: float | None, scale: float, digits: int) -> str:
    if before is None and after is None:
        return "–"
    return f"{_number(before, digits, scale)} → {_number(after, digits, scale)}"


def _number(value: float | None, digits: int, scale: float = 1.0) -> str:
    return "–" if value is None else f"{value * scale:.{digits}f}"


def _text(value: int | None) -> str:
    return "–" if value is None else str(value)
