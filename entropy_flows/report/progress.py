"""A campaign that runs, as people watch it: its jobs in a table, or all of it in one line."""

from __future__ import annotations

import re
from collections.abc import Sequence

from entropy_flows.progress import duration
from entropy_flows.report.text import MISSING
from entropy_flows.schemas.status import CampaignStatus, RunningJob, TimeLeft

JOB_HEADER = ["job", "done", "rate", "left", "worker", "last sign"]
LOCAL_WORKER = re.compile(r".*-local-[0-9a-f]{8}-\d+-\d+-(\d+)")
MAX_JOBS = 12
"""Jobs that a table shows."""
RESUMED_STAGES = frozenset(
    ("explore", "anchor", "independent", "train", "member", "point", "ascend")
)
"""Stages that save their work when they are stopped."""
SLOW_RATE = 0.1
"""Rate (1/s) below which the time of one is easier to read."""


def job_rows(jobs: Sequence[RunningJob], most: int = MAX_JOBS) -> list[list[str]]:
    """Write a row for each job that somebody has taken, below a header."""
    rows = [_job_row(job) for job in jobs[:most]]
    if len(jobs) > most:
        rows.append([f"and {len(jobs) - most} more", *[""] * (len(JOB_HEADER) - 1)])
    return [JOB_HEADER, *rows]


def _job_row(job: RunningJob) -> list[str]:
    left = job.seconds_left
    sign = f"{duration(job.silence)} ago"
    return [
        job.title,
        _done_text(job),
        _rate_text(job),
        MISSING if left is None or job.lost else duration(left),
        worker_text(job),
        f"lost: {sign}" if job.lost else sign,
    ]


def _done_text(job: RunningJob) -> str:
    """Write how far a job is, or since when it runs."""
    if job.waits_in_queue:
        return f"in the queue for {duration(job.seconds)}"
    if job.done is None:
        return f"since {duration(job.seconds)}"
    note = f", {job.note}" if job.note else ""
    return f"{job.done} of {job.total} {job.unit}{note}"


def _rate_text(job: RunningJob) -> str:
    if not job.rate or job.lost:
        return MISSING
    return f"{job.rate:.3g}/s" if job.rate >= SLOW_RATE else f"{1 / job.rate:.3g} s each"


def worker_text(job: RunningJob) -> str:
    """Write a worker's name, that of a local one by its number."""
    local = LOCAL_WORKER.fullmatch(job.worker)
    return f"local {local[1]}" if local else job.worker or job.host


def time_left_text(left: TimeLeft | None) -> str:
    """Write how long the iteration still takes; empty if that cannot be told."""
    if left is None or (left.seconds == 0 and left.without):
        return ""
    more = f", without {', '.join(left.without)}" if left.without else ""
    return f"about {duration(left.seconds)} left of the iteration{more}"


def progress_line(status: CampaignStatus, stages: str, jobs: str) -> str:
    """Write how far a campaign is in one line.

    Parameters
    ----------
    status
        The campaign as it is now.
    stages
        What the iteration's stages have done, as `stage_line` writes it.
    jobs
        Number of jobs by state, in words.
    """
    working = [
        f"{job.title} {_done_text(job)}{f', {_rate_text(job)}' if job.rate else ''}"
        for job in status.running
        if job.done is not None and job.lost is None
    ]
    pieces = [stages, "; ".join(working[:4]), jobs, time_left_text(status.time_left)]
    return " | ".join(piece for piece in pieces if piece)


def saved_lines(status: CampaignStatus, stages: str) -> list[str]:
    """Say what a campaign has that is interrupted now, and what its running jobs keep.

    Parameters
    ----------
    status
        The campaign as it was last read.
    stages
        What the iteration's stages have done, as `stage_line` writes it.
    """
    lines = [f"saved: {stages}"]
    for job in status.running:
        if job.lost or job.waits_in_queue:
            continue
        if job.stage in RESUMED_STAGES and job.done is not None:
            lines.append(f"{job.title} stops at {_done_text(job)}, and goes on from there")
        else:
            lines.append(f"{job.title} will be done again from its start")
    return lines
