"""A campaign as a page, which `report` writes once and `serve` keeps up to date."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from entropy_flows.evaluate import Parity
from entropy_flows.report.calibration import Calibrations, calibration_tables
from entropy_flows.report.conditions import condition_counts
from entropy_flows.report.costs import COST_NOTE, bought_rows, cost_rows
from entropy_flows.report.exclusions import EXCLUSION_HEADER, exclusion_rows
from entropy_flows.report.forgetting import FORGETTING_HEADER, FORGETTING_NOTE, forgetting_rows
from entropy_flows.report.heat import HeatMap, heat_maps
from entropy_flows.report.iterations import (
    ENDED_RUN_HEADER,
    compile_lines,
    ended_run_rows,
    iteration_table_rows,
)
from entropy_flows.report.labels import LABEL_HEADER, has_failures, label_rows
from entropy_flows.report.loop import LoopStage, loop_stages
from entropy_flows.report.model import campaign_model, closing_lines
from entropy_flows.report.page import CaptionedFigure, Table
from entropy_flows.report.progress import job_rows, time_left_text
from entropy_flows.report.story import Story, story_of
from entropy_flows.report.text import sentence
from entropy_flows.report.versions import version_lines
from entropy_flows.store.connection import StoreError

if TYPE_CHECKING:
    from entropy_flows.schemas.status import CampaignStatus
    from entropy_flows.store import CampaignStore

ITERATION_NOTE = "Errors are before → after fine-tuning, on the same held-out cells."
FAILURE_HEADER = ["iteration", "job", "reason"]
MAX_JOBS = 40
"""Running jobs that the page names."""


@dataclass(frozen=True)
class Failures:
    """Tables of what failed, each below a header."""

    jobs: Sequence[Sequence[str]]
    """Jobs that failed for a reason of their own."""
    labels: Sequence[Sequence[str]]
    """Conditions that have labels that failed or look odd."""
    runs: Sequence[Sequence[str]]
    """Runs that stopped early."""
    excluded: Sequence[Sequence[str]]
    """Cells excluded from the data set."""

    @property
    def is_empty(self) -> bool:
        """True if nothing failed."""
        tables = (self.jobs, self.labels, self.runs, self.excluded)
        return all(len(table) == 1 for table in tables)


@dataclass(frozen=True)
class Setup:
    """The settings of a campaign, and how it is done again."""

    facts: Sequence[tuple[str, str]]
    """Names and values, and the command that does it again."""
    changes: Sequence[str]
    """Keys that were changed after it had begun, a line each."""
    settings: str
    """The campaign file, every key, as YAML."""
    model: Sequence[str]
    """How its model is loaded."""


@dataclass(frozen=True)
class CampaignPage:
    """All that the page of a campaign shows, but for its map."""

    name: str
    state: str
    message: str | None
    time: str
    """When it was read."""
    entries: int
    """Cells in its ledger."""
    story: Story
    iteration: int
    """Iteration of the loop's picture."""
    loop: Sequence[LoopStage]
    running: Sequence[Sequence[str]]
    """Jobs that somebody works on, below a header."""
    time_left: str
    iterations: Sequence[Sequence[str]]
    """The iterations' table."""
    iteration_note: str
    heat: Sequence[HeatMap]
    labels: Sequence[Sequence[str]]
    """Labels by condition, below a header."""
    failures: Failures
    cost: Sequence[Sequence[str]]
    """Hours of jobs by stage, below a header; empty before a job has ended."""
    bought: Sequence[Sequence[str]]
    """What each iteration's labels cost and bought, below a header; empty without labels."""
    setup: Setup
    tables: Sequence[Table] = ()
    """Further tables."""
    figures: Sequence[tuple[str, str, str]] = ()
    """Name, SVG and caption of each figure."""
    cost_note: str = COST_NOTE


def campaign_page(
    store: CampaignStore,
    status: CampaignStatus,
    iterations: Sequence[Mapping[str, Any]],
    parities: tuple[Parity, Parity] | None,
    command: str,
    labels: Sequence[Mapping[str, Any]],
    entries: int,
) -> CampaignPage:
    """Read what the page of a campaign shows, without tables of physics and without figures.

    Parameters
    ----------
    store
        The campaign.
    status
        How it stands now.
    iterations
        Documents of its iterations.
    parities
        First model and model in use on the same held-out cells; None before an evaluation.
    command
        The command that makes it again.
    labels
        Its labels, as `label_rows` returns them.
    entries
        Number of cells in its ledger.
    """
    last = iterations[-1] if iterations else {}
    notes = [*version_lines(store.versions()), *compile_lines(iterations)]
    conditions = label_rows(row for row in labels if row["stage"] != "import")
    return CampaignPage(
        name=status.campaign,
        state=status.state,
        message=status.message,
        time=f"{status.time:%Y-%m-%d %H:%M:%S} UTC",
        entries=entries,
        story=story_of(status, iterations, parities),
        iteration=last.get("iteration", 1) or 1,
        loop=loop_stages(last, status.running, _failed_stages(status, last)),
        running=job_rows(status.running, MAX_JOBS),
        time_left=time_left_text(status.time_left),
        iterations=iteration_table_rows(iterations),
        iteration_note=" ".join([ITERATION_NOTE, *map(sentence, notes)]),
        heat=heat_maps(condition_counts(store, iterations)),
        labels=[LABEL_HEADER, *conditions],
        failures=_failures(store, status, iterations, conditions),
        cost=cost_rows(iterations),
        bought=bought_rows(iterations),
        setup=_setup(store, status, command),
        tables=campaign_tables(iterations),
    )


def _failures(
    store: CampaignStore,
    status: CampaignStatus,
    iterations: Sequence[Mapping[str, Any]],
    conditions: Sequence[Sequence[str]],
) -> Failures:
    """Build the tables of what failed; `conditions` are rows of `label_rows`."""
    jobs = [[str(row.iteration), row.title, row.message] for row in status.failures]
    return Failures(
        jobs=[FAILURE_HEADER, *jobs],
        labels=[LABEL_HEADER, *filter(has_failures, conditions)],
        runs=[ENDED_RUN_HEADER, *ended_run_rows(iterations)],
        excluded=[EXCLUSION_HEADER, *exclusion_rows(store.excluded().values())],
    )


def _setup(store: CampaignStore, status: CampaignStatus, command: str) -> Setup:
    document = store.document()
    changes = [
        f"{change.at:%Y-%m-%d %H:%M} UTC by {change.by}: {change.key} {change.old} → {change.new}"
        for change in status.changes
    ]
    return Setup(
        facts=_facts(document, status, command),
        changes=changes,
        settings=yaml.safe_dump(document["config"], sort_keys=False, allow_unicode=True),
        model=_model_lines(store),
    )


def _failed_stages(status: CampaignStatus, iteration: Mapping[str, Any]) -> list[str]:
    """Return the stages of an iteration that have a job that failed."""
    number = iteration.get("iteration")
    return [row.stage for row in status.failures if row.iteration == number]


def _facts(
    document: Mapping[str, Any], status: CampaignStatus, command: str
) -> list[tuple[str, str]]:
    """Write what the campaign is, as names and values."""
    config = document["config"]
    versions = ", ".join(f"{name} {number}" for name, number in document["versions"].items())
    facts = [
        ("elements", ", ".join(config.get("elements") or [])),
        ("labels by", ", ".join(status.engines)),
        ("base model", str(config.get("base_model") or "")),
        ("model now", _model_words(status)),
        ("seed", str(config.get("seed", ""))),
        ("selector", str((config.get("select") or {}).get("selector", ""))),
        ("begun", f"{document['created']:%Y-%m-%d %H:%M} UTC"),
        ("versions", versions),
        ("to do it again", command),
    ]
    if status.forked_from:
        origin = status.forked_from
        facts.append(("fork of", f"{origin['campaign']}, iteration {origin['iteration']}"))
    return [(name, value) for name, value in facts if value]


def _model_words(status: CampaignStatus) -> str:
    model = status.model
    if model is None:
        return ""
    digest = f", sha256 {model.sha256[:12]}" if model.sha256 else ""
    return f"{model.name} (iteration {model.iteration}{digest})"


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


def campaign_tables(iterations: Sequence[Mapping[str, Any]]) -> list[Table]:
    """Build the tables of what was forgotten and of the committee's calibration."""
    tables = []
    if forgetting := forgetting_rows(iterations):
        rows = [FORGETTING_HEADER, *forgetting]
        tables.append(Table("What was forgotten", rows, FORGETTING_NOTE))
    return [*tables, *calibration_tables(calibrations(iterations))]


def calibrations(iterations: Sequence[Mapping[str, Any]]) -> Calibrations:
    """Return how well each iteration's committee predicts its error, where it had one."""
    by_iteration = {
        f"iteration {doc['iteration']}": doc.get("evaluate", {}).get("calibration")
        for doc in iterations
    }
    return {name: calibration for name, calibration in by_iteration.items() if calibration}


def campaign_figures(
    iterations: Sequence[Mapping[str, Any]],
    thresholds: Mapping[int, float],
    parities: tuple[Parity, Parity] | None,
) -> dict[str, CaptionedFigure]:
    """Draw errors, parity, gains, calibration and training, of what there is.

    Parameters
    ----------
    iterations
        Documents of the iterations.
    thresholds
        Iteration → least gain that it accepted with.
    parities
        First model and model in use on the same held-out cells; None before an evaluation.
    """
    from entropy_flows.report.error_plots import calibration_plot, history_plot, parity_plot
    from entropy_flows.report.plots import gain_plot, training_plot

    figures = {}
    evaluated = [doc for doc in iterations if doc.get("evaluate", {}).get("after", {}).get("n")]
    if evaluated:
        caption = "Errors before and after each training, with the noise of so few cells."
        figures["errors"] = CaptionedFigure(history_plot(evaluated), caption)
    if parities is not None:
        caption = "Held-out cells: first model and model in use against the labels."
        figures["parity"] = CaptionedFigure(parity_plot(*parities), caption)
    gains = {doc["iteration"]: doc["select"]["gains"] for doc in iterations if doc.get("select")}
    if gains:
        caption = "Gain of each accepted candidate when it was accepted."
        figures["gains"] = CaptionedFigure(gain_plot(gains, thresholds), caption)
    spreads = calibrations(iterations)
    if spreads:
        caption = (
            "Held-out cells: the error of the committee's mean against the spread of its members."
        )
        figures["calibration"] = CaptionedFigure(calibration_plot(spreads), caption)
    histories = {
        doc["iteration"]: doc["train"]["history"]
        for doc in iterations
        if doc.get("train", {}).get("history")
    }
    if histories:
        figures["training"] = CaptionedFigure(training_plot(histories), "Loss during fine-tuning.")
    return figures


def gain_thresholds(iterations: Sequence[Mapping[str, Any]]) -> dict[int, float]:
    """Return the least gain that each iteration accepted with, by the settings that it ran with."""
    thresholds = {}
    for doc in iterations:
        if doc.get("select"):
            settings = doc.get("plan", {}).get("settings") or {"sections": {"select": {}}}
            thresholds[doc["iteration"]] = settings["sections"]["select"].get("theta_min") or 0.0
    return thresholds
