"""Jobs that pause by themselves until something outside of their workflow is there.

The job that gathers a wide fan-out waits for all its chunks (`launch.fanout`), and one that labels
chosen cells for their approval (`store.approvals`). A worker that takes such a job too early has it
pause. Whoever brings the last thing lets it go on:

    the job, started          something is missing → pause, look again, go on if nothing is
    the last thing, there     nothing is missing → let the job go on

Each looks after it has done its part, so one of them sees what both have done, whoever comes first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from entropy_flows.store import CampaignStore
from entropy_flows.store.connection import OUTPUTS

if TYPE_CHECKING:
    from fireworks import LaunchPad

WAITING_FIELDS = tuple(
    f"spec.{name}" for name in ("uuid", "campaign", "awaited_jobs", "chunk", "awaits_approval")
)
"""Fields of a job's document from which follows what it waits for."""


def must_wait(pad: LaunchPad, spec: Mapping[str, Any]) -> bool:
    """Return True if a job waits for something that is not there yet.

    Parameters
    ----------
    pad
        The launchpad.
    spec
        The job's spec.
    """
    if not pauses_by_itself(spec):
        return False
    if spec.get("awaits_approval"):
        return CampaignStore(pad.db, spec["campaign"]).awaits_approval(spec["uuid"])
    return not is_complete(pad, spec["awaited_jobs"])


def pauses_by_itself(spec: Mapping[str, Any]) -> bool:
    """Return True if a job may be PAUSED without anybody's doing."""
    gathers = bool(spec.get("awaited_jobs")) and "chunk" not in spec
    return gathers or bool(spec.get("awaits_approval"))


def is_complete(pad: LaunchPad, awaited_jobs: list[str]) -> bool:
    """Return True if all these jobs have stored their output."""
    stored = pad.db[OUTPUTS].distinct("uuid", {"uuid": {"$in": awaited_jobs}})
    return len(stored) == len(awaited_jobs)


def pause(pad: LaunchPad, fw_id: int, spec: Mapping[str, Any]) -> None:
    """Have the running job wait until all is there; this run of it is void."""
    pad.rerun_fw(fw_id)
    pad.pause_fw(fw_id)
    # the last thing may have come before the job was paused, and found nothing to resume
    if not must_wait(pad, spec):
        pad.resume_fw(fw_id)


def let_go_on(pad: LaunchPad, query: Mapping[str, Any]) -> None:
    """Let the jobs of a query go on that have paused and need wait no more."""
    paused = {**query, "state": "PAUSED"}
    for job in pad.fireworks.find(paused, ("fw_id", *WAITING_FIELDS)):
        if not must_wait(pad, job["spec"]):
            pad.resume_fw(job["fw_id"])
