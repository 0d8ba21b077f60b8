"""What `entropy-flows status --json` prints: fields are added, and none changes its meaning."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from entropy_flows.summary import Summarised, Summary

STATUS_VERSION = 2
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


class ModelStatus(StatusDocument):
    """The model that a campaign goes on from."""

    iteration: int
    """Iteration that has trained it; 0 is the base model, −1 the student."""
    version: int = 1
    """2 and more for a model that was trained again."""
    name: str
    """Name of its file, or of the published model."""
    reference: str
    """Reference that the campaign's store fetches it by."""
    sha256: str | None
    """SHA-256 of its file; None for a published model."""
    errors: dict[str, Any]
    """Errors on the held-out cells, with the keys of `IterationStatus.after`; empty without."""


class Retrained(StatusDocument):
    """A model that was trained again."""

    iteration: int
    version: int
    """2 and more."""
    trained_on: int
    """Number of cells."""
    before: dict[str, Any]
    """Errors of the model that it replaces, on the held-out cells."""
    after: dict[str, Any]
    """The same of its own."""
    goes_on: bool
    """Whether the campaign went on from it, and not from the one before."""


class ExcludedCell(StatusDocument):
    """A cell that is excluded from the data set now."""

    key: str
    why: str
    by: str
    """User and machine."""
    at: datetime


class ChangedSetting(StatusDocument):
    """A key of the campaign file that was changed after the campaign had begun."""

    key: str
    """Path of the key, with dots."""
    old: Any
    new: Any
    iteration: int | None
    """First iteration with the new value; None if it holds at once."""
    by: str
    at: datetime


class ApprovalCounts(StatusDocument):
    """Numbers of the cells that wait, or have waited, for an approval."""

    waiting: int = 0
    approved: int = 0
    rejected: int = 0


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
    """Numbers cells, epoch, max_epochs, val_loss, replayed, replay_weight."""
    before: dict[str, Any] = Field(default_factory=dict)
    """Errors on the held-out cells before the training: energy_mae (eV/atom), forces_mae (eV/Å),
    stress_mae (eV/Å³), n.
    """
    after: dict[str, Any] = Field(default_factory=dict)
    """The same after it."""
    forgotten: dict[str, Any] = Field(default_factory=dict)
    """Errors on the first model's own cells, `before` and `after` the training; `kinds` in each
    has them by kind of cell.
    """
    goes_on_from: dict[str, Any] = Field(default_factory=dict)
    """Decision on the next iteration's model: model, iteration, is_new, worse, reason."""


class ConditionCount(StatusDocument):
    """The counts of one condition, over all iterations."""

    phase: str | None
    """Seed phase, or the file of frames that were candidates."""
    temperature: float | None
    """Temperature of the thermostat, K; like k and pressure, None for frames of a file."""
    k: float | None
    """Strength of the bias, eV."""
    pressure: float | None
    """Nominal pressure, GPa."""
    runs: int
    """Runs of the dynamics."""
    stopped: int
    """Runs that stopped early."""
    explored: int
    """Candidates."""
    accepted: int
    """Candidates that selection or refinement took in."""
    failed_labels: int
    """Labels of its cells that failed."""

    @property
    def failures(self) -> int:
        """Runs that stopped early, and labels that failed."""
        return self.stopped + self.failed_labels


class CampaignStatus(Summarised, StatusDocument):
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
    model: ModelStatus | None
    """None before it has one."""
    retrained: list[Retrained]
    excluded: list[ExcludedCell]
    changes: list[ChangedSetting]
    approvals: ApprovalCounts
    forked_from: dict[str, Any] | None
    """Campaign and iteration that it began with; `relabel` if the cells were labelled again."""
    advice: dict[str, str]
    """Whether more labels are worth it: verdict and text; empty if that cannot be told yet."""
    conditions: list[ConditionCount] = []
    """What each condition of the exploration has given, where that was asked for."""

    def summary(self) -> Summary:
        """Return what a notebook shows: how the campaign stands."""
        from entropy_flows.schemas.summaries import status_summary

        return status_summary(self)
