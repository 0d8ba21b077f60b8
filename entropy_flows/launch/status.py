"""Read all that there is to say of a campaign now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from entropy_flows.evaluate import advise
from entropy_flows.launch.activity import nobody_works
from entropy_flows.launch.job_states import ACTIVE_STATES, TAKEN_STATES
from entropy_flows.launch.liveness import LivenessCriteria, liveness_criteria
from entropy_flows.launch.steering_facts import steering_facts
from entropy_flows.launch.time_left import time_left
from entropy_flows.processes import is_locked
from entropy_flows.schemas.status import CampaignStatus, FailedJob, IterationStatus
from entropy_flows.store.holds import standing

if TYPE_CHECKING:
    from entropy_flows.launch.manager import WorkflowManager
    from entropy_flows.launch.session import Session

COUNTS = {
    "select": ("candidates", "accepted", "near_misses", "rejected", "spent"),
    "refine": ("tried", "accepted", "steps"),
    "label": ("requested", "labelled", "failed", "anchors", "flagged"),
    "train": ("cells", "epoch", "max_epochs", "val_loss", "replayed", "replay_weight"),
}
"""Stage → its fields that `IterationStatus` has."""


def read_status(
    session: Session,
    manager: WorkflowManager,
    go_on: str,
    *,
    iterations: Sequence[Mapping[str, Any]],
    workers: int | None = None,
    engines: Sequence[str] | None = None,
) -> CampaignStatus:
    """Read a campaign's state, its jobs and who works on them.

    Parameters
    ----------
    session
        The campaign.
    manager
        The workflow manager that has its jobs.
    go_on
        Command that starts workers, for when nobody works on it.
    iterations
        Documents of its iterations.
    workers
        Number of jobs that run at once; None takes that of the jobs that run now.
    engines
        Engines that made its labels; None reads them from all labels.
    """
    store = session.store
    document = store.document()
    state, message = standing(document)
    counts = manager.job_counts(store.name)
    running = []
    if any(counts.get(state) for state in TAKEN_STATES):
        running = manager.running_jobs(store.name, _criteria(session, manager))
    has_active = any(counts.get(state) for state in ACTIVE_STATES)
    rest = None
    nobody = None
    if state == "running" and has_active:
        living = [job for job in running if job.lost is None and not job.waits_in_queue]
        jobs = manager.open_jobs(store.name)
        rest = time_left(iterations, jobs, living, workers or len(living))
        nobody = nobody_works(counts, running, manager.has_workers(store), go_on)
    advice = advise(iterations)
    return CampaignStatus(
        campaign=document["name"],
        time=datetime.now(UTC),
        state=state,
        message=message,
        engines=store.label_engines() if engines is None else engines,
        jobs=counts,
        running=running,
        time_left=None if nobody else rest,
        nobody=nobody,
        iterations=[_iteration(row) for row in iterations],
        failures=_failures(store.failures()),
        **steering_facts(store, document, iterations),
        advice={} if advice is None else {"verdict": advice.verdict, "text": advice.text},
    )


def _criteria(session: Session, manager: WorkflowManager) -> LivenessCriteria:
    """Return what tells dead workers from living ones, as somebody who only looks may know it."""
    is_idle = not is_locked(session.folder / "run.lock")
    criteria = liveness_criteria(session, manager, idle=is_idle)
    # a job that was taken a moment ago has not been written of yet
    return replace(criteria, patience=max(criteria.patience, 2.0))


def _iteration(document: Mapping[str, Any]) -> IterationStatus:
    """Return an iteration's counts and errors."""
    stages = {
        stage: {name: document[stage][name] for name in names if name in document[stage]}
        for stage, names in COUNTS.items()
        if stage in document
    }
    errors = document.get("evaluate", {})
    return IterationStatus(
        iteration=document["iteration"],
        **stages,
        before=errors.get("before", {}),
        after=errors.get("after", {}),
        forgotten=errors.get("forgotten") or {},
        goes_on_from=errors.get("continues") or {},
    )


def _failures(rows: Sequence[Mapping[str, Any]]) -> list[FailedJob]:
    names = ("iteration", "stage", "title", "message")
    return [FailedJob(**{name: row[name] for name in names}) for row in rows]
