"""Tables, figures and page of a campaign."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from entropy_flows.evaluate import Parity, advise
from entropy_flows.evaluate.succession import decision_lines
from entropy_flows.report.calibration import Calibrations, calibration_tables
from entropy_flows.report.curve_results import mean_fingerprints
from entropy_flows.report.exclusions import EXCLUSION_HEADER, exclusion_rows
from entropy_flows.report.forgetting import FORGETTING_HEADER, FORGETTING_NOTE, forgetting_rows
from entropy_flows.report.iterations import iteration_rows, selection_ends
from entropy_flows.report.label_moments import MOMENT_HEADER, MOMENT_NOTE, moment_rows
from entropy_flows.report.labels import LABEL_HEADER, label_rows
from entropy_flows.report.model import campaign_model, closing_lines
from entropy_flows.report.page import CaptionedFigure, Table, write_report
from entropy_flows.report.text import general, state_line
from entropy_flows.report.versions import version_lines
from entropy_flows.store.connection import StoreError

if TYPE_CHECKING:
    from entropy_flows.report.physics_table import Rows
    from entropy_flows.schemas import Campaign
    from entropy_flows.store import CampaignStore

LABEL_NOTE = (
    "Failed labels have a reason; flagged ones converged, look odd (`odd` in `labels`) and are not "
    "trained on."
)
EXCLUSION_NOTE = "They are in the ledger, and neither trained on nor tested with."
YIELD_HEADER = ["phase", "T, K", "k, eV", "P, GPa (nominal)", "accepted", "explored"]
CONDITION_FIELDS = ("phase", "temperature", "k", "pressure")


def write_campaign_page(
    folder: Path, store: CampaignStore, campaign: Campaign, physics: Mapping[str, Rows]
) -> Path:
    """Write tables and figures of a campaign as it is now.

    Parameters
    ----------
    folder
        Created if it is missing.
    store, campaign
        The campaign.
    physics
        Title of a model → its physics checks; empty if none were made.

    Returns
    -------
    Path
        The HTML file.
    """
    document = store.document()
    iterations = store.iterations()
    labels = list(store.labels(converged=True))
    engines = sorted({label["provenance"]["engine"] for label in labels})
    tables = campaign_tables(store, campaign, iterations)
    figures = campaign_figures(store, campaign, iterations, labels)
    if physics:
        from entropy_flows.report.physics_plots import physics_figures

        tables.append(_physics_table(physics))
        figures |= physics_figures(physics)
    closing = _model_lines(store)
    name = document["name"]
    return write_report(folder, name, state_line(document), engines, tables, figures, closing)


def _model_lines(store: CampaignStore) -> list[str]:
    """Write the model that the campaign goes on from, and how it is loaded; empty without one.

    A report is looked at where something is wrong, too: a model that is gone is a line of it.
    """
    try:
        model = campaign_model(store)
    except StoreError as err:
        return [str(err)]
    if model is None or model.sha256 is None:
        return []
    return closing_lines(model, model.file_name)


def campaign_tables(
    store: CampaignStore, campaign: Campaign, iterations: Sequence[Mapping[str, Any]]
) -> list[Table]:
    """Build the tables of iterations, labels, yield, moments and calibration."""
    header = ["", *(f"iteration {doc['iteration']}" for doc in iterations)]
    conditions = [LABEL_HEADER, *label_rows(store.labels(stage={"$ne": "import"}))]
    yields = _yield_rows(store, campaign, iterations)
    retrained = [f"{line[0].upper()}{line[1:]}." for line in version_lines(store.versions())]
    note = " ".join([_iteration_note(iterations), *retrained])
    moments = moment_rows(store.frames(foreign={"$ne": True}))
    tables = [
        Table("Iterations", [header, *iteration_rows(iterations)], note),
        Table("Labels by condition", conditions, LABEL_NOTE),
        Table("Yield by condition", yields, "Candidates accepted, of those explored."),
    ]
    excluded = exclusion_rows(store.excluded().values())
    if excluded:
        tables.append(Table("Excluded cells", [EXCLUSION_HEADER, *excluded], EXCLUSION_NOTE))
    if forgetting := forgetting_rows(iterations):
        rows = [FORGETTING_HEADER, *forgetting]
        tables.append(Table("What was forgotten", rows, FORGETTING_NOTE))
    if moments:
        tables.append(Table("Magnetic moments", [MOMENT_HEADER, *moments], MOMENT_NOTE))
    return [*tables, *calibration_tables(_calibrations(iterations))]


def _iteration_note(iterations: Sequence[Mapping[str, Any]]) -> str:
    """Write what the numbers mean, the advice, and what went another way than planned."""
    sentences = ["Errors are before → after fine-tuning, on the same held-out cells."]
    advice = advise(iterations)
    if advice is not None:
        sentences.append(f"Advice ({advice.verdict}): {advice.text}.")
    lines = [*decision_lines(iterations), *selection_ends(iterations)]
    sentences += [f"{line[0].upper()}{line[1:]}." for line in lines]
    return " ".join(sentences)


def _physics_table(physics: Mapping[str, Rows]) -> Table:
    from entropy_flows.report.physics_table import physics_reasons, physics_rows

    reasons = "; ".join(physics_reasons(physics))
    note = f"Without a result: {reasons}." if reasons else ""
    return Table("Physics", physics_rows(physics), note)


def _yield_rows(
    store: CampaignStore, campaign: Campaign, iterations: Sequence[Mapping[str, Any]]
) -> list[list[str]]:
    """Count accepted and explored candidates by phase, T, k and nominal pressure."""
    explored: dict[tuple[Any, ...], int] = {}
    for doc in iterations:
        for run in doc.get("runs", []):
            condition = tuple(run[name] for name in CONDITION_FIELDS)
            explored[condition] = explored.get(condition, 0) + run["snapshots"]
    # A condition that found nothing has its row too: that is what the table is read for.
    accepted = dict.fromkeys(explored, 0)
    ledger = store.ledger(campaign.dataset)
    for entry in ledger.entries(stage={"$in": ["select", "refine"]}):
        accepted[tuple(entry["origin"][name] for name in CONDITION_FIELDS)] += 1
    rows = [
        [phase, general(T), general(k), general(P), str(accepted[phase, T, k, P]), str(count)]
        for (phase, T, k, P), count in explored.items()
    ]
    return [YIELD_HEADER, *rows]


def campaign_figures(
    store: CampaignStore,
    campaign: Campaign,
    iterations: Sequence[Mapping[str, Any]],
    labels: Sequence[Mapping[str, Any]],
) -> dict[str, CaptionedFigure]:
    """Draw errors, gains, coverage, labels, calibration and training, of what there is.

    Parameters
    ----------
    store, campaign
        The campaign.
    iterations, labels
        Documents of its iterations, and of its converged labels.
    """
    from entropy_flows.report.error_plots import calibration_plot, parity_plot
    from entropy_flows.report.plots import training_plot

    figures = {}
    parities = _parities(store, iterations)
    if parities is not None:
        caption = "Held-out cells: base model and last model against the labels."
        figures["parity"] = CaptionedFigure(parity_plot(*parities), caption)
    figures["gains"] = _gain_figure(campaign, iterations)
    figures |= _coverage_figure(store, campaign)
    figures |= _pressure_figure(labels)
    calibrations = _calibrations(iterations)
    if calibrations:
        caption = (
            "Held-out cells: the error of the committee's mean against the spread of its members."
        )
        figures["calibration"] = CaptionedFigure(calibration_plot(calibrations), caption)
    histories = {
        doc["iteration"]: doc["train"]["history"]
        for doc in iterations
        if doc.get("train", {}).get("history")
    }
    if histories:
        figures["training"] = CaptionedFigure(training_plot(histories), "Loss during fine-tuning.")
    return figures


def _gain_figure(campaign: Campaign, iterations: Sequence[Mapping[str, Any]]) -> CaptionedFigure:
    from entropy_flows.report.plots import gain_plot

    gains = {doc["iteration"]: doc["select"]["gains"] for doc in iterations if doc.get("select")}
    thresholds = {
        doc["iteration"]: _threshold(campaign, doc) for doc in iterations if doc.get("select")
    }
    caption = "Gain of each accepted candidate when it was accepted."
    return CaptionedFigure(gain_plot(gains, thresholds), caption)


def _threshold(campaign: Campaign, iteration: Mapping[str, Any]) -> float:
    """Return the least gain that an iteration accepted with, by the settings that it ran with."""
    settings = iteration.get("plan", {}).get("settings")
    if settings is None:
        return campaign.iteration(iteration["iteration"]).select.theta_min or 0.0
    return settings["sections"]["select"].get("theta_min") or 0.0


def _coverage_figure(store: CampaignStore, campaign: Campaign) -> dict[str, CaptionedFigure]:
    """Draw which fingerprints the data set covers; nothing with fewer than three cells."""
    from entropy_flows.report.plots import coverage_plot

    ledger = store.ledger(campaign.dataset)
    entries = list(ledger.entries())
    prints = ledger.fingerprints_between(0, len(entries))
    excluded = store.excluded()
    pairs = [
        (entry, q) for entry, q in zip(entries, prints, strict=True) if entry["key"] not in excluded
    ]
    if len(pairs) < 3:
        return {}
    means = mean_fingerprints(q for _, q in pairs)
    groups = [f"{entry['stage']}, {entry['origin'].get('phase', '')}" for entry, _ in pairs]
    return {"coverage": CaptionedFigure(coverage_plot(means, groups), "What the data set covers.")}


def _pressure_figure(labels: Sequence[Mapping[str, Any]]) -> dict[str, CaptionedFigure]:
    """Draw energy against pressure of the labels that have a stress, if any has."""
    from entropy_flows.report.plots import pressure_plot

    stressed = [label for label in labels if label["pressure"] is not None]
    if not stressed:
        return {}
    pressures = [label["pressure"] for label in stressed]
    energies = [label["energy"] / label["n_atoms"] for label in stressed]
    groups = [f"{label['stage']}, {label.get('split') or 'unused'}" for label in stressed]
    figure = pressure_plot(pressures, energies, groups)
    return {"labels": CaptionedFigure(figure, "Labels by realised pressure.")}


def _calibrations(iterations: Sequence[Mapping[str, Any]]) -> Calibrations:
    """Return how well each iteration's committee predicts its error, where it had one."""
    calibrations = {
        f"iteration {doc['iteration']}": doc.get("evaluate", {}).get("calibration")
        for doc in iterations
    }
    return {name: calibration for name, calibration in calibrations.items() if calibration}


def _parities(
    store: CampaignStore, iterations: Sequence[Mapping[str, Any]]
) -> tuple[Parity, Parity] | None:
    """Test base and last model on the held-out cells of the whole campaign."""
    from entropy_flows.evaluate import parity
    from entropy_flows.potentials import load_calculator

    evaluated = [doc["iteration"] for doc in iterations if doc.get("evaluate")]
    test = store.frames(split="test")
    if not evaluated or not test:
        return None
    # A campaign with a student has it under -1, beside the base model that explores.
    first = store.model(-1) or store.model(0)
    last = store.model_in_use()
    if last is None or last["iteration"] < 1:
        last = store.model(evaluated[-1])
    assert first is not None, "an evaluated campaign has a base model"
    assert last is not None, "an evaluated iteration has a model"
    before = parity(test, load_calculator(store.fetch_model(first["reference"])))
    after = parity(test, load_calculator(store.fetch_model(last["reference"])))
    return before, after
