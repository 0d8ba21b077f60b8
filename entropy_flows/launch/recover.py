"""Mend the launchpad after workers of this machine were killed.

Only jobs whose worker is known to be dead are touched: the caller names the workers. Five states are mended; each was
produced by killing a worker at that point.

| killed | state left | mended by |
| --- | --- | --- |
| in a job's body, or before its action was applied | RUNNING without a process | run again: every stage writes by key |
| after completing, before the workflow heard of it | launch COMPLETED, job RUNNING | refresh |
| while holding the workflow's lock | workflow locked | unlock |
| between saving a job and saving its workflow | job COMPLETED, workflow says RUNNING | refresh |
| between inserting children and saving the workflow | children in no workflow | delete them, refresh the parent |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fireworks import LaunchPad


@dataclass(frozen=True)
class Mended:
    """What was mended: numbers of jobs and workflows."""

    rerun: int = 0
    refreshed: int = 0
    unlocked: int = 0
    orphans: int = 0

    def __bool__(self) -> bool:
        return any((self.rerun, self.refreshed, self.unlocked, self.orphans))

    def __str__(self) -> str:
        return (
            f"{self.rerun} lost jobs run again, {self.refreshed} finished ones told to their workflow, "
            f"{self.unlocked} locks removed, {self.orphans} orphaned jobs deleted"
        )


def recover(pad: LaunchPad, campaign: str, workers: list[str], alone: bool = False) -> Mended:
    """Mend what dead workers left.

    Parameters
    ----------
    pad
        The launchpad.
    campaign
        Whose jobs to look at.
    workers
        Names of workers known to be dead.
    alone
        Nobody else works on this campaign now: locks and orphans can be told from work in progress.
    """
    ours = {"spec.campaign": campaign}
    ids = [fw["fw_id"] for fw in pad.fireworks.find(ours, {"fw_id": 1})]
    unlocked = orphans = 0
    if alone:
        unlocked = pad.workflows.update_many(
            {"nodes": {"$in": ids}, "locked": {"$exists": True}}, {"$unset": {"locked": ""}}
        ).modified_count
        orphans = _delete_orphans(pad, ids)
    dead = {"fw_id": {"$in": ids}, "fworker.name": {"$in": workers}}
    lost = list(pad.launches.find({**dead, "state": {"$in": ["RUNNING", "RESERVED"]}}))
    current = {"launches": {"$in": [launch["launch_id"] for launch in lost]}}
    rerun = [fw["fw_id"] for fw in pad.fireworks.find(current, {"fw_id": 1})]
    for fw_id in rerun:  # before its launch is marked: jobs after a fizzled one start without it
        pad.rerun_fw(fw_id)
    for launch in lost:
        pad.mark_fizzled(launch["launch_id"])
    untold = _untold(pad, dead, alone) - set(rerun)
    for fw_id in untold:
        pad._refresh_wf(fw_id)
    return Mended(len(rerun), len(untold), unlocked, orphans)


def _delete_orphans(pad: LaunchPad, ids: list[int]) -> int:
    """Delete jobs that no workflow knows; the parent's refresh adds them again."""
    known = {node for wf in pad.workflows.find({"nodes": {"$in": ids}}, {"nodes": 1}) for node in wf["nodes"]}
    orphans = [fw_id for fw_id in ids if fw_id not in known]
    pad.fireworks.delete_many({"fw_id": {"$in": orphans}})
    return len(orphans)


def _untold(pad: LaunchPad, dead: dict[str, Any], alone: bool) -> set[int]:
    """Jobs that ended on a dead worker before their workflow heard of it, put back to RUNNING for the refresh."""
    ended = pad.launches.find({**dead, "state": {"$in": ["COMPLETED", "FIZZLED"]}}, {"launch_id": 1})
    current = {"launches": {"$in": [launch["launch_id"] for launch in ended]}}
    states = {fw["fw_id"]: fw["state"] for fw in pad.fireworks.find(current, {"fw_id": 1, "state": 1})}
    untold = {fw_id for fw_id, state in states.items() if state == "RUNNING"}
    if alone:  # a job may have been saved and its workflow not
        told: dict[int, str] = {}
        for workflow in pad.workflows.find({"nodes": {"$in": list(states)}}, {"fw_states": 1}):
            told |= {int(fw_id): state for fw_id, state in workflow["fw_states"].items()}
        half = [i for i, state in states.items() if state in ("COMPLETED", "FIZZLED") and told.get(i, state) != state]
        pad.fireworks.update_many({"fw_id": {"$in": half}}, {"$set": {"state": "RUNNING"}})
        untold |= set(half)
    return untold
