"""By what a dead worker is told from a living one, and how something found is told to the reader."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from entropy_flows.settings import settings

MISSED_HEARTBEATS = 10
"""Signs of life that a running job may fail to give before it is lost."""
Document = dict[str, Any]


@dataclass(frozen=True)
class LivenessCriteria:
    """By what a dead worker is told from a living one.

    Attributes
    ----------
    dead
        Names of workers that do not live any more; no two have the same name, on whatever machine.
    expiry
        Seconds without a sign of life after which a running job is lost; None: never.
    queue
        Identifiers of the queue's jobs; None if there is no queue, or it does not answer.
    patience
        Seconds for which something half done may be a living worker's: a lock, a reservation, a job
        being added.
    """

    dead: frozenset[str] = frozenset()
    expiry: float | None = None
    queue: frozenset[str] | None = None
    patience: float = 60.0

    def names(self, launch: Document) -> bool:
        """Whether a launch's worker is among the dead."""
        return (launch.get("fworker") or {}).get("name") in self.dead

    def against(self, launch: Document) -> str | None:
        """Why nobody works on a running or reserved launch any more; None if somebody may."""
        silence, queued = age(last_sign(launch)), reservation(launch)
        if self.names(launch):
            return f"its worker {launch['fworker']['name']} is dead"
        if launch["state"] == "RUNNING" and self.expiry is not None and silence > self.expiry:
            return f"no sign of life for {duration(silence)}"
        if silence <= self.patience:
            return None
        if queued is not None and self.queue is not None and queued not in self.queue:
            return f"job {queued} is not in the queue"
        if queued is None and launch["state"] == "RESERVED":
            return "it never came to the queue"
        return None


@dataclass(frozen=True)
class Finding:
    """Something that was found, and what is done about it.

    Attributes
    ----------
    kind
        See `findings` and `repair`; "given up" and "busy" are only told.
    fw_id, name
        The job.
    found, done
        For the reader: "done" completes "it would be …".
    launches
        Launches that end with it.
    uuid
        The job's uuid, where its output is concerned.
    """

    kind: str
    fw_id: int
    name: str
    found: str
    done: str
    launches: tuple[int, ...] = ()
    uuid: str | None = None


def finding(kind: str, job: Document, found: str, done: str, uuid: str | None = None) -> Finding:
    """What was found of a job, and what is done."""
    return Finding(kind, job["fw_id"], job["name"], found, done, tuple(job["launches"]), uuid)


def usual_expiry() -> float:
    """Seconds without a sign of life after which a running job is lost, unless something else is asked for."""
    return MISSED_HEARTBEATS * settings().heartbeat


def last_sign(document: Document) -> datetime | str:
    """When a launch last gave a sign of life or ended; of a job, when it was last written."""
    if "state_history" not in document:
        return document["updated_on"]
    last = document["state_history"][-1]
    return last.get("updated_on") or last["created_on"]


def reservation(launch: Document) -> str | None:
    """The queue's identifier of a launch."""
    return next(
        (
            str(entry["reservation_id"])
            for entry in launch["state_history"]
            if "reservation_id" in entry
        ),
        None,
    )


def age(when: datetime | str) -> float:
    """Seconds since a time as FireWorks writes it: text or date, in UTC."""
    time = datetime.fromisoformat(when) if isinstance(when, str) else when
    return (datetime.now(UTC) - (time if time.tzinfo else time.replace(tzinfo=UTC))).total_seconds()


def duration(seconds: float) -> str:
    """Seconds for the reader."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
