"""Delete jobs of a campaign from the launchpad, also after an interruption.

    jobs that could start     no worker takes them any more
    workflows                 what is left is in none, and found by its campaign
    launches, jobs

A workflow is deleted before its jobs: jobs alone are found again by their campaign.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fireworks import LaunchPad


BATCH = 500
"""Jobs that one query names."""


def delete_jobs(pad: LaunchPad, campaign: str, uuids: Collection[str] | None = None) -> int:
    """Delete a campaign's jobs with their workflows and launches.

    Parameters
    ----------
    pad
        The launchpad.
    campaign
        Name of the campaign.
    uuids
        Identifiers of jobs in the workflows to delete; None deletes all of the campaign's.

    Returns
    -------
    int
        Number of jobs.
    """
    query: dict[str, Any] = {"spec.campaign": campaign}
    if uuids is not None:
        query["spec.uuid"] = {"$in": list(uuids)}
    chosen = {job["fw_id"] for job in pad.fireworks.find(query, {"fw_id": 1})}
    workflows = list(pad.workflows.find({"nodes": {"$in": sorted(chosen)}}, {"nodes": 1}))
    numbers = sorted(chosen.union(*(workflow["nodes"] for workflow in workflows)))
    batches = [numbers[start : start + BATCH] for start in range(0, len(numbers), BATCH)]
    for batch in batches:
        ready = {"fw_id": {"$in": batch}, "state": {"$in": ["READY", "WAITING"]}}
        pad.fireworks.update_many(ready, {"$set": {"state": "DEFUSED"}})
    for workflow in workflows:
        pad.workflows.delete_one({"_id": workflow["_id"]})
    for batch in batches:
        pad.launches.delete_many({"fw_id": {"$in": batch}})
        pad.fireworks.delete_many({"fw_id": {"$in": batch}})
    return len(numbers)
