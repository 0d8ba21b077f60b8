"""Who works on a campaign's jobs now, how far they are, and whether nobody does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from entropy_flows.launch.findings import OPEN_STATES
from entropy_flows.launch.liveness import LivenessCriteria, age, duration, last_sign
from entropy_flows.processes import has_ended
from entropy_flows.schemas.status import RunningJob
from entropy_flows.store.fence import NOW
from entropy_flows.store.lease import LEASES

if TYPE_CHECKING:
    from fireworks import LaunchPad
    from pymongo.database import Database

JOB_FIELDS = {"name": 1, "state": 1, "launches": 1}
LAUNCH_FIELDS = {
    "launch_id": 1,
    "state": 1,
    "host": 1,
    "fworker.name": 1,
    "state_history": 1,
    "progress": 1,
}
PROGRESS_FIELDS = ("title", "iteration", "done", "total", "unit", "note", "rate")


def running_jobs(pad: LaunchPad, campaign: str, criteria: LivenessCriteria) -> list[RunningJob]:
    """Return a campaign's jobs that somebody has taken, with what their workers say of them.

    Parameters
    ----------
    pad
        The launchpad.
    campaign
        Name of the campaign.
    criteria
        What tells a dead worker from a living one.
    """
    query = {"spec.campaign": campaign, "state": {"$in": list(OPEN_STATES)}}
    jobs = {max(job["launches"], default=-1): job for job in pad.fireworks.find(query, JOB_FIELDS)}
    launches = pad.launches.find({"launch_id": {"$in": sorted(jobs)}}, LAUNCH_FIELDS)
    taken = [
        _running_job(jobs[launch["launch_id"]], launch, criteria)
        for launch in launches
        if launch["state"] in OPEN_STATES
    ]
    return sorted(taken, key=lambda job: (job.waits_in_queue, job.title))


def _running_job(
    job: Mapping[str, Any], launch: Mapping[str, Any], criteria: LivenessCriteria
) -> RunningJob:
    """Describe one job by its document and that of its launch."""
    stage = str(job["name"]).partition(" ")[0]
    progress = launch.get("progress") or {}
    reported = {name: progress[name] for name in PROGRESS_FIELDS if progress.get(name) is not None}
    silence = age(last_sign(dict(launch)))
    if "updated" in progress:
        silence = min(silence, age(progress["updated"]))
    return RunningJob(
        **{"title": str(job["name"]), **reported},
        stage=stage,
        worker=(launch.get("fworker") or {}).get("name") or "",
        host=launch.get("host") or "",
        seconds=age(launch["state_history"][0]["created_on"]),
        silence=max(0.0, silence),
        lost=criteria.why_dead(dict(launch)),
        waits_in_queue=launch["state"] == "RESERVED",
    )


def is_run_now(database: Database, campaign: str) -> bool:
    """Return True if a `run` holds the campaign, whose workers look for jobs every second."""
    held = {"_id": f"run/{campaign}", "$expr": {"$gt": ["$until", NOW]}}
    holder = database[LEASES].find_one(held, {"process": 1})
    return holder is not None and not has_ended(holder.get("process", ""))


def nobody_works(
    counts: Mapping[str, int], running: list[RunningJob], has_run: bool, go_on: str
) -> str | None:
    """Say that nobody is working on a campaign, and what to do; None if somebody is.

    Parameters
    ----------
    counts
        State of jobs → number of them.
    running
        Jobs that somebody has taken.
    has_run
        True if a `run` holds the campaign.
    go_on
        Command that starts workers.
    """
    lost = [job for job in running if job.lost]
    ready = counts.get("READY", 0)
    if has_run or len(lost) < len(running) or not (ready or lost):
        return None
    reasons = []
    if lost:
        titles = ", ".join(job.title for job in lost[:3])
        quiet = duration(min(job.silence for job in lost))
        reasons.append(f"{titles} stopped {quiet} ago ({lost[0].lost})")
    if ready:
        reasons.append(f"{ready} {'job waits' if ready == 1 else 'jobs wait'} for a worker")
    return f"nobody is working on this: {'; '.join(reasons)}. Go on with: {go_on}"
