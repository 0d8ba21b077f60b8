"""Tell a dead worker from a living one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from entropy_flows.launch.queue import queue_jobs
from entropy_flows.progress import duration
from entropy_flows.settings import settings

if TYPE_CHECKING:
    from entropy_flows.launch.manager import WorkflowManager
    from entropy_flows.launch.session import Session

Document = dict[str, Any]

MISSED_HEARTBEATS = 10
"""Signs of life that a running job may fail to give before it is lost."""
PATIENCE_SECONDS = 120.0
"""How long something half done may be a living worker's, where others may work on the campaign."""


@dataclass(frozen=True)
class LivenessCriteria:
    """The criteria by which a dead worker is told from a living one.

    Attributes
    ----------
    dead
        Names of workers that do not live any more. No two have the same name, on whatever machine.
    expiry
        Seconds without a sign of life after which a running job is lost; None: never.
    queue
        Identifiers of the queue's jobs. None if there is no queue, or it does not answer.
    patience
        Seconds for which something half done may be a living worker's: a lock, a reservation, a job
        being added.
    """

    dead: frozenset[str] = frozenset()
    expiry: float | None = None
    queue: frozenset[str] | None = None
    patience: float = 60.0

    def has_dead_worker(self, launch: Document) -> bool:
        """Return True if a launch's worker is among the dead."""
        return (launch.get("fworker") or {}).get("name") in self.dead

    def why_dead(self, launch: Document) -> str | None:
        """Say why nobody works on a running or reserved launch any more; None if somebody may."""
        silence = age(last_sign(launch))
        queue_job = reservation(launch)
        if self.has_dead_worker(launch):
            return f"its worker {launch['fworker']['name']} is dead"
        if launch["state"] == "RUNNING" and self.expiry is not None and silence > self.expiry:
            return f"no sign of life for {duration(silence)}"
        # what follows may be the moment between two writes of a living worker
        if silence <= self.patience:
            return None
        if queue_job is not None and self.queue is not None and queue_job not in self.queue:
            return f"job {queue_job} is not in the queue"
        if queue_job is None and launch["state"] == "RESERVED":
            return "it never came to the queue"
        return None


def liveness_criteria(
    session: Session,
    manager: WorkflowManager,
    idle: bool,
    expiry: float | None = None,
    patience: float | None = None,
) -> LivenessCriteria:
    """Return the criteria by which dead workers are told from living ones here and now.

    Parameters
    ----------
    session
        The campaign.
    manager
        The workflow manager that has its jobs.
    idle
        True if no `run` works in the campaign's folder. Where the database is the campaign's own,
        there are no workers but that run's, and whatever is half done was left so.
    expiry, patience
        Fields of `LivenessCriteria` (s). None takes the defaults.
    """
    name = session.store.name
    is_alone = idle and session.embedded
    if is_alone:
        dead_workers = manager.workers(name)
        default_patience = 0.0
    else:
        dead_workers = manager.ended_workers(name)
        default_patience = PATIENCE_SECONDS
    return LivenessCriteria(
        dead=frozenset(dead_workers),
        expiry=default_expiry() if expiry is None else expiry,
        queue=None if session.embedded else queue_jobs(),
        patience=default_patience if patience is None else patience,
    )


def default_expiry() -> float:
    """Return the seconds without a sign of life after which a running job is lost."""
    return MISSED_HEARTBEATS * settings().heartbeat


def last_sign(document: Document) -> datetime | str:
    """Return when a launch last gave a sign of life or ended, or when a job was last written."""
    if "state_history" not in document:
        return document["updated_on"]
    latest = document["state_history"][-1]
    return latest.get("updated_on") or latest["created_on"]


def reservation(launch: Document) -> str | None:
    """Return the queue's identifier of a launch; None if it was not submitted to a queue."""
    for entry in launch["state_history"]:
        if "reservation_id" in entry:
            return str(entry["reservation_id"])
    return None


def age(when: datetime | str) -> float:
    """Return the seconds since a time as FireWorks writes it: a text or a date, in UTC."""
    time = datetime.fromisoformat(when) if isinstance(when, str) else when
    if time.tzinfo is None:
        time = time.replace(tzinfo=UTC)
    return (datetime.now(UTC) - time).total_seconds()
