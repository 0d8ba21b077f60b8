"""`entropy-flows report`: a page to look at."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import typer

from entropy_flows.cli.options import CampaignFile, FolderOption
from entropy_flows.cli.physics import planned
from entropy_flows.cli.status import early_ends, iteration_rows
from entropy_flows.evaluate import advise
from entropy_flows.evaluate.succession import decision_lines
from entropy_flows.launch.session import Session, stored
from entropy_flows.report.calibration import calibration_tables
from entropy_flows.report.label_moments import HEADER as MOMENT_HEADER
from entropy_flows.report.label_moments import NOTE as MOMENT_NOTE
from entropy_flows.report.label_moments import moment_rows
from entropy_flows.report.labels import HEADER, label_rows

FLAGGED_NOTE = "Failed labels have a reason; flagged ones converged, look odd (`odd` in `labels`) and are not trained on."


def command(
    file: CampaignFile,
    folder: FolderOption = None,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
) -> None:
    """Write tables, parity plots, gain per iteration and coverage as HTML and PNG.

    Example: entropy-flows report silicon/campaign.yaml
    """
    from entropy_flows.report.page import write_report

    with stored(file, folder) as opened:
        document, iterations = opened.store.document(), opened.store.iterations()
        labels = list(opened.store.labels(converged=True))
        header = ["", *(f"iteration {doc['iteration']}" for doc in iterations)]
        conditions = [HEADER, *label_rows(opened.store.labels(stage={"$ne": "import"}))]
        note = "Errors are before → after fine-tuning, on the same held-out cells."
        if (advice := advise(iterations)) is not None:
            note += f" Advice ({advice.verdict}): {advice.text}."
        lines = [*decision_lines(iterations), *early_ends(iterations)]
        note += "".join(f" {line[0].upper()}{line[1:]}." for line in lines)
        tables, figures = _physics(opened)
        moments = moment_rows(opened.store.frames(foreign={"$ne": True}))
        page = write_report(
            opened.folder / "report",
            document["name"],
            f"{document['state']}{': ' + document['message'] if document['message'] else ''}",
            sorted({label["provenance"]["engine"] for label in labels}),
            [
                ("Iterations", [header, *iteration_rows(iterations)], note),
                ("Labels by condition", conditions, FLAGGED_NOTE),
                (
                    "Yield by condition",
                    _yield_rows(opened, iterations),
                    "Candidates accepted, of those explored.",
                ),
                *(
                    [("Magnetic moments", [MOMENT_HEADER, *moments], MOMENT_NOTE)]
                    if moments
                    else []
                ),
                *calibration_tables(_calibrations(iterations)),
                *tables,
            ],
            _figures(opened, iterations, labels) | figures,
        )
    print(f"report: {page}")
    if open_:
        typer.launch(str(page))


def _physics(opened: Session) -> tuple[list[Any], dict[str, Any]]:
    """Tables and figures of the physics checks, if any were made."""
    if (
        opened.store.database["checks"].count_documents({"campaign": opened.campaign.name}, limit=1)
        == 0
    ):
        return [], {}
    from entropy_flows.report.physics_plots import physics_figures
    from entropy_flows.report.physics_table import physics_reasons, physics_rows

    models = planned(opened).models(opened)
    if not models:
        return [], {}
    rows, reasons = physics_rows(models), "; ".join(physics_reasons(models))
    return [("Physics", rows, f"Without a result: {reasons}." if reasons else "")], physics_figures(
        models
    )


def _figures(
    opened: Session, iterations: list[dict[str, Any]], labels: list[dict[str, Any]]
) -> dict[str, Any]:
    from entropy_flows.report import plots

    campaign = opened.campaign
    gains = {doc["iteration"]: doc["select"]["gains"] for doc in iterations if doc.get("select")}
    thresholds = {number: campaign.iteration(number).select.least_gain for number in gains}
    histories = {
        doc["iteration"]: doc["train"]["history"]
        for doc in iterations
        if doc.get("train", {}).get("history")
    }
    figures: dict[str, Any] = {}
    parities = _parities(opened, iterations)
    if parities is not None:
        caption = "Held-out cells: base model and last model against the labels."
        figures["parity"] = (plots.parity_plot(*parities), caption)
    figures["gains"] = (
        plots.gain_plot(gains, thresholds),
        "Gain of each accepted candidate when it was accepted.",
    )
    ledger = opened.store.ledger(campaign.dataset)
    entries = list(ledger.entries())
    if len(entries) > 2:
        means = np.array([q.mean(axis=0) for q in ledger.fingerprints_between(0, len(entries))])
        groups = [f"{entry['stage']}, {entry['origin'].get('phase', '')}" for entry in entries]
        figures["coverage"] = (plots.coverage_plot(means, groups), "What the data set covers.")
    if stressed := [label for label in labels if label["pressure"] is not None]:
        pressures = [label["pressure"] for label in stressed]
        energies = [label["energy"] / label["n_atoms"] for label in stressed]
        groups = [f"{label['stage']}, {label.get('split') or 'unused'}" for label in stressed]
        figures["labels"] = (
            plots.pressure_plot(pressures, energies, groups),
            "Labels by realised pressure.",
        )
    if calibrations := _calibrations(iterations):
        caption = (
            "Held-out cells: the error of the committee's mean against the spread of its members."
        )
        figures["calibration"] = (plots.calibration_plot(calibrations), caption)
    if histories:
        figures["training"] = (plots.training_plot(histories), "Loss during fine-tuning.")
    return figures


def _calibrations(iterations: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Iteration → what its committee's spread says of its error, where it had a committee."""
    found = {
        f"iteration {doc['iteration']}": doc.get("evaluate", {}).get("calibration")
        for doc in iterations
    }
    return {name: parts for name, parts in found.items() if parts}


def _parities(opened: Session, iterations: list[dict[str, Any]]) -> tuple[Any, Any] | None:
    """Base and last model on the held-out cells of the whole campaign."""
    from entropy_flows.evaluate import parity
    from entropy_flows.potentials import load_calculator

    done = [doc["iteration"] for doc in iterations if doc.get("evaluate")]
    test = opened.store.frames(split="test")
    if not done or not test:
        return None
    first = opened.store.model(-1) or opened.store.model(0)
    last = opened.store.model_in_use()
    trained = last if last is not None and last["iteration"] > 0 else opened.store.model(done[-1])
    models = [first, trained]
    before, after = (
        parity(test, load_calculator(opened.store.fetch_model(model["reference"])))
        for model in models
        if model
    )
    return before, after


def _yield_rows(opened: Session, iterations: list[dict[str, Any]]) -> list[list[str]]:
    """Which condition finds most: accepted and explored candidates by phase, T, k and nominal P."""
    explored: dict[tuple[Any, ...], list[int]] = {}
    for doc in iterations:
        for run in doc.get("runs", []):
            key = (run["phase"], run["temperature"], run["k"], run["pressure"])
            counts = explored.setdefault(key, [0, 0])
            counts[1] += run["snapshots"]
    for entry in opened.store.ledger(opened.campaign.dataset).entries(
        stage={"$in": ["select", "refine"]}
    ):
        origin = entry["origin"]
        explored[(origin["phase"], origin["temperature"], origin["k"], origin["pressure"])][0] += 1
    rows = [
        [phase, f"{T:g}", f"{k:g}", f"{P:g}", *map(str, counts)]
        for (phase, T, k, P), counts in explored.items()
    ]
    return [["phase", "T, K", "k, eV", "P, GPa (nominal)", "accepted", "explored"], *rows]
