"""Mend the launchpad after workers of this machine were killed.

Only jobs whose worker is known to be dead are touched: the caller names the workers. Four states are mended; each was
produced by killing a worker at that point.

| killed | state left | mended by |
| --- | --- | --- |
| in a job's body, or before its action was applied | RUNNING without a process | run again: every stage writes by key |
| after completing, before the workflow heard of it | launch COMPLETED, job RUNNING | refresh |
| while holding the workflow's lock | workflow locked | unlock |
| between inserting children and saving the workflow | children in no workflow | delete them, refresh the parent |
"""

from __future__ import annotations

from dataclasses import dataclass

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
    lost = list(
        pad.launches.find(
            {"fw_id": {"$in": ids}, "state": {"$in": ["RUNNING", "RESERVED"]}, "fworker.name": {"$in": workers}}
        )
    )
    for launch in lost:
        pad.mark_fizzled(launch["launch_id"])
    rerun = {launch["fw_id"] for launch in lost}
    for fw_id in rerun:
        pad.rerun_fw(fw_id)
    refreshed = 0
    if alone or lost:
        running = [fw["fw_id"] for fw in pad.fireworks.find({**ours, "state": "RUNNING"}, {"fw_id": 1})]
        done = {"fw_id": {"$in": running}, "state": {"$in": ["COMPLETED", "FIZZLED"]}, "fworker.name": {"$in": workers}}
        for fw_id in {launch["fw_id"] for launch in pad.launches.find(done, {"fw_id": 1})} - rerun:
            pad._refresh_wf(fw_id)
            refreshed += 1
    return Mended(len(rerun), refreshed, unlocked, orphans)


def _delete_orphans(pad: LaunchPad, ids: list[int]) -> int:
    """Delete jobs that no workflow knows; the parent's refresh adds them again."""
    known = {node for wf in pad.workflows.find({"nodes": {"$in": ids}}, {"nodes": 1}) for node in wf["nodes"]}
    orphans = [fw_id for fw_id in ids if fw_id not in known]
    pad.fireworks.delete_many({"fw_id": {"$in": orphans}})
    if orphans:  # their parent completed without its workflow hearing of it
        for launch in pad.launches.find({"fw_id": {"$in": sorted(known)}, "state": "COMPLETED"}, {"fw_id": 1}):
            stale = {"fw_id": launch["fw_id"], "state": "COMPLETED"}
            workflow = pad.workflows.find_one({"nodes": launch["fw_id"]}, {"fw_states": 1})
            if workflow and workflow["fw_states"].get(str(launch["fw_id"])) != "COMPLETED":
                pad.fireworks.update_one(stale, {"$set": {"state": "RUNNING"}})
    return len(orphans)
