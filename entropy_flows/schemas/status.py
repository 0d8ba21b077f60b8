"""What `entropy-flows status --json` prints: fields are added, and none changes its meaning."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

STATUS_VERSION = 1
"""Grows when a field is taken away or means something else."""


class StatusDocument(BaseModel):
    """Base of what is printed."""

    model_config = ConfigDict(extra="forbid")


class RunningJob(StatusDocument):
    """A job that a worker or the queue has taken."""

    title: str
    """Stage and number of the job in its iteration, such as `explore/3`."""
    stage: str
    iteration: int | None = None
    """None until the job has begun."""
    worker: str
    """Name of its worker."""
    host: str
    """Machine of its worker."""
    seconds: float
    """Time since the job was taken (s)."""
    silence: float
    """Time since the worker's last sign of life (s)."""
    lost: str | None = None
    """Why nobody works on it any more; None if somebody may."""
    waits_in_queue: bool = False
    """True of a job that the queue has not started."""
    done: int | None = None
    """Steps, epochs, labels or candidates that are done; None if the stage counts nothing."""
    total: int | None = None
    """Number of all of them."""
    unit: str = ""
    """Word for what is counted."""
    rate: float | None = None
    """How many are done in a second; None until that is known."""
    note: str = ""
    """What else there is to say, such as the loss of the last epoch."""

    @property
    def seconds_left(self) -> float | None:
        """Time that the job needs at its rate (s); None if that cannot be told."""
        if self.done is None or self.total is None or not self.rate:
            return None
        return max(0.0, (self.total - self.done) / self.rate)


class TimeLeft(StatusDocument):
    """The rest of the iteration, from rates and from what the stages took before."""

    seconds: float
    """Time of the stages that can be told (s)."""
    without: list[str] = Field(default_factory=list)
    """Stages still to come that nothing is known of yet."""


class FailedJob(StatusDocument):
    """A job that failed for a reason of its own."""

    iteration: int
    stage: str
    title: str
    message: str


class IterationStatus(StatusDocument):
    """One iteration; a stage that has not ended has an empty mapping."""

    iteration: int
    select: dict[str, Any] = Field(default_factory=dict)
    """Counts of candidates, accepted, near_misses, rejected, spent."""
    refine: dict[str, Any] = Field(default_factory=dict)
    """Counts tried, accepted, steps."""
    label: dict[str, Any] = Field(default_factory=dict)
    """Counts requested, labelled, failed, anchors, flagged."""
    train: dict[str, Any] = Field(default_factory=dict)
    """Numbers cells, epoch, max_epochs, val_loss."""
    before: dict[str, Any] = Field(default_factory=dict)
    """Errors on the held-out cells before the training: energy_mae (eV/atom), forces_mae (eV/Å),
    stress_mae (eV/Å³), n.
    """
    after: dict[str, Any] = Field(default_factory=dict)
    """The same after it."""


class CampaignStatus(StatusDocument):
    """A campaign as it is now."""

    version: int = STATUS_VERSION
    campaign: str
    time: datetime
    """When this was read (UTC)."""
    state: str
    """State of the campaign: new, running, paused, cancelled, done or failed."""
    message: str | None
    """Why it ended, or who holds it."""
    engines: list[str]
    """Engines that its labels are by."""
    jobs: dict[str, int]
    """State of jobs → number of them."""
    running: list[RunningJob]
    time_left: TimeLeft | None
    """None where nothing runs or nothing can be told."""
    nobody: str | None
    """Says why nobody is working on it, and what to do; None if somebody is, or it has ended."""
    iterations: list[IterationStatus]
    failures: list[FailedJob]
    advice: dict[str, str]
    """Whether more labels are worth it: verdict and text; empty if that cannot be told yet."""
