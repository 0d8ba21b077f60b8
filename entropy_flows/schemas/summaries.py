"""What campaigns and their status show of themselves in shells and notebooks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from entropy_flows.evaluate.errors import MAE_NAMES
from entropy_flows.progress import duration
from entropy_flows.summary import Summary, axis_text

if TYPE_CHECKING:
    from entropy_flows.schemas.campaign import Campaign
    from entropy_flows.schemas.status import CampaignStatus, IterationStatus

GRID = {
    "temperatures": "K",
    "entropy_weights": "eV",
    "pressures": "GPa",
}
"""Axis of the conditions → its unit."""
ITERATION_HEADER = ["iteration", "candidates", "accepted", "labelled", "failed"]
MISSING = "–"


def campaign_summary(campaign: Campaign) -> Summary:
    """Describe what a campaign will do."""
    phases = [phase.name for phase in campaign.phases]
    engine = getattr(campaign.label, "maker", None) or campaign.label.engine
    iterations = _plural(campaign.n_iterations, "iteration")
    elements = ", ".join(campaign.elements)
    lines = [
        ("elements", elements),
        ("phases", ", ".join(phases)),
        ("base model", str(campaign.base_model)),
        *([("student", str(campaign.student))] if campaign.student is not None else []),
        ("labels by", str(engine)),
        ("fingerprint", type(campaign.global_fingerprint).__name__.removesuffix("Params")),
        ("seed", str(campaign.seed)),
        *_limits(campaign),
    ]
    header = ["iteration", "T, K", "k, eV", "P, GPa", "conditions", "selector", "most labels"]
    numbers = range(1, max(1, len(campaign.iterations)) + 1)
    rows = [_settings_row(campaign, number) for number in numbers]
    return Summary(
        title=f"Campaign {campaign.name}",
        short=f"{campaign.name!r}: {elements}; {_plural(len(phases), 'phase')}; {iterations}; "
        f"labels by {engine}",
        lines=lines,
        table=[header, *rows],
    )


def status_summary(status: CampaignStatus) -> Summary:
    """Describe how a campaign stands."""
    message = f": {status.message}" if status.message else ""
    jobs = ", ".join(f"{number} {state}" for state, number in status.jobs.items())
    return Summary(
        title=f"{status.campaign} is {status.state}{message}",
        short=f"{status.campaign!r} is {status.state}; "
        f"{_plural(len(status.iterations), 'iteration')}; {len(status.running)} jobs run",
        lines=[
            ("read at", f"{status.time:%Y-%m-%d %H:%M:%S} UTC"),
            *([("labels by", ", ".join(status.engines))] if status.engines else []),
            *([("jobs", jobs)] if jobs else []),
            *_activity(status),
        ],
        table=_iteration_table(status),
    )


def _limits(campaign: Campaign) -> Iterator[tuple[str, str]]:
    """Write the conditions that end a campaign."""
    stop = campaign.stop
    limits = [_plural(campaign.n_iterations, "iteration")]
    if stop.label_budget is not None:
        limits.append(f"{stop.label_budget} labels")
    if stop.energy_mae is not None:
        limits.append(f"energy MAE {1e3 * stop.energy_mae:g} meV/atom")
    if stop.forces_mae is not None:
        limits.append(f"force MAE {1e3 * stop.forces_mae:g} meV/Å")
    if stop.unknown is not None:
        limits.append(f"{100 * stop.unknown:g} % of the target unknown")
    yield "ends with", ", or ".join(limits)


def _settings_row(campaign: Campaign, number: int) -> list[str]:
    """Write the conditions and the selector of an iteration."""
    settings = campaign.iteration(number)
    explore = settings.explore
    axes = [getattr(explore, name) for name in GRID]
    phases = explore.phases or [phase.name for phase in campaign.phases]
    conditions = len(phases)
    for axis in axes:
        conditions *= len(axis)
    most = settings.select.max_labels
    return [
        str(number),
        *map(axis_text, axes),
        str(conditions),
        settings.select.selector,
        MISSING if most is None else str(most),
    ]


def _activity(status: CampaignStatus) -> Iterator[tuple[str, str]]:
    """Write who works on what, what is left, the model and the advice."""
    for job in status.running:
        share = "" if job.total is None else f"{job.done or 0} of {job.total} {job.unit}, "
        yield job.title, f"{share}since {duration(job.seconds)}, on {job.host}"
    if status.time_left is not None:
        yield "time left", duration(status.time_left.seconds)
    if status.nobody:
        yield "nobody works", status.nobody
    for failure in status.failures:
        yield f"failed: {failure.title}", failure.message
    if status.model is not None:
        yield "model", status.model.name
    if status.advice:
        yield "advice", f"{status.advice['verdict']}: {status.advice['text']}"


def _iteration_table(status: CampaignStatus) -> list[list[str]]:
    """Write a row for each iteration; no rows without any."""
    if not status.iterations:
        return []
    errors = [f"{title}, {unit}" for title, unit in MAE_NAMES.values()]
    return [[*ITERATION_HEADER, *errors], *map(_iteration_row, status.iterations)]


def _iteration_row(iteration: IterationStatus) -> list[str]:
    counts = [
        iteration.select.get("candidates"),
        iteration.select.get("accepted"),
        iteration.label.get("labelled"),
        iteration.label.get("failed"),
    ]
    errors = [_change(iteration.before, iteration.after, name) for name in MAE_NAMES]
    return [
        str(iteration.iteration),
        *(MISSING if count is None else str(count) for count in counts),
        *errors,
    ]


def _change(before: Mapping[str, Any], after: Mapping[str, Any], name: str) -> str:
    """Write an error before and after a training, in thousandths of its unit."""
    values = [value for value in (before.get(name), after.get(name)) if value is not None]
    if len(values) < 2:
        return MISSING
    return " → ".join(f"{1e3 * value:.3g}" for value in values)


def _plural(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
