"""How long the rest of an iteration takes, from rates and from what its stages took before."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from entropy_flows.launch.manager import JobRecord
from entropy_flows.schemas.stages import Stage
from entropy_flows.schemas.status import RunningJob, TimeLeft

PARALLEL_STAGES = (Stage.EXPLORE, Stage.ANCHOR)
"""Stages whose jobs run side by side."""
SERIAL_STAGES = (Stage.SELECT, Stage.REFINE, Stage.PLAN, Stage.LABEL, Stage.TRAIN, Stage.EVALUATE)
"""Stages that follow, one after the other."""


@dataclass(frozen=True)
class StageRecord:
    """Time of a stage in an iteration: number of jobs that ended, and their seconds in all."""

    jobs: int
    seconds: float


def stage_records(document: Mapping[str, Any]) -> dict[str, StageRecord]:
    """Return stage → record, from an iteration's document."""
    seconds: dict[str, list[float]] = defaultdict(list)
    for label, value in document.get("seconds", {}).items():
        seconds[label.partition("/")[0]].append(value)
    return {stage: StageRecord(len(values), sum(values)) for stage, values in seconds.items()}


def time_left(
    iterations: Sequence[Mapping[str, Any]],
    jobs: Iterable[JobRecord],
    running: Sequence[RunningJob],
    workers: int,
) -> TimeLeft | None:
    """Estimate the rest of the iteration that runs.

    A job that counts needs what its rate says, any other what jobs of its stage took: in this
    iteration, or else in the last one that had any.

    Parameters
    ----------
    iterations
        Documents of the iterations, in order.
    jobs
        Those of the campaign's jobs that have not ended.
    running
        Those that somebody works on.
    workers
        Number of jobs that run at once.

    Returns
    -------
    TimeLeft or None
        None if no job is open.
    """
    open_jobs: dict[str, int] = defaultdict(int)
    for job in jobs:
        open_jobs[job.name.partition(" ")[0]] += 1
    if not open_jobs:
        return None
    history: dict[str, StageRecord] = {}
    for document in iterations:
        history |= stage_records(document)
    estimate = _Estimate(dict(open_jobs), running, history, max(1, workers))
    without: list[str] = []
    seconds = estimate.of_stages(PARALLEL_STAGES, without)
    for stage in SERIAL_STAGES:
        seconds += estimate.of_stages((stage,), without)
    return TimeLeft(seconds=seconds, without=without)


@dataclass(frozen=True)
class _Estimate:
    """Facts for the estimate; see `time_left`."""

    open_jobs: Mapping[str, int]
    running: Sequence[RunningJob]
    history: Mapping[str, StageRecord]
    workers: int

    def of_stages(self, stages: Sequence[str], without: list[str]) -> float:
        """Return the seconds of stages that run side by side; add those unknown to `without`."""
        rests: list[float] = []
        for stage in stages:
            rest = self._rests(stage)
            if rest is None:
                without.append(str(stage))
            else:
                rests += rest
        if not rests:
            return 0.0
        return max(max(rests), sum(rests) / self.workers)

    def _rests(self, stage: str) -> list[float] | None:
        """Return the rest of each open job of a stage; None if nothing is known of one."""
        record = self.history.get(stage)
        each = record.seconds / record.jobs if record is not None else None
        count = self.open_jobs.get(stage, 0)
        if stage == Stage.LABEL and not count and Stage.PLAN in self.open_jobs:
            # the jobs come when the labels are planned; as many as the last time is a guess
            return None if record is None else [record.seconds / record.jobs] * record.jobs
        rests = []
        working = [job for job in self.running if job.stage == stage and job.lost is None]
        for job in working[:count]:
            rest = job.seconds_left
            if rest is None and each is not None:
                rest = max(0.0, each - job.seconds)
            if rest is None:
                return None
            rests.append(rest)
        waiting = count - len(rests)
        if waiting and each is None:
            done = [job.seconds + (job.seconds_left or 0) for job in working]
            if not any(job.seconds_left is not None for job in working):
                return None
            each = sum(done) / len(done)
        return rests + [each or 0.0] * waiting
