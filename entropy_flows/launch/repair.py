"""Mend what dead workers left on the launchpad, while others work on it or not.

Each workflow with something wrong is mended under its lock, from what its jobs are then
(`findings`). A lock whose holder is dead is taken over (`lock`). Two kinds of findings belong to no
workflow:

- *left*: launches of jobs that went on without them;
- *orphan*: jobs in no workflow. A worker inserted them and died before it saved theirs, and the job
  that adds them adds them again. Jobs that are just being added look the same. They are told apart
  by their age, and because every lock that was held when they were seen has been free since.

Everything that a job writes is written by key, so a job that runs twice costs time and nothing
else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from entropy_flows.faults import is_machine_fault
from entropy_flows.launch.findings import LAUNCH_FIELDS, OPEN_STATES, diagnose
from entropy_flows.launch.holding import apply_hold
from entropy_flows.launch.liveness import Document, LivenessCriteria, age
from entropy_flows.launch.lock import BusyError, await_free_lock, hold_lock
from entropy_flows.launch.missing_inputs import dangling_blobs
from entropy_flows.launch.repair_report import Finding, RepairReport
from entropy_flows.store import CampaignStore
from entropy_flows.store.connection import OUTPUTS

if TYPE_CHECKING:
    from fireworks import LaunchPad

RERUN_KINDS = ("lost", "reserved", "failed", "arrays")
"""Kinds of findings whose job runs again."""
MAX_DIAGNOSES = 20
"""Diagnoses of a workflow, each disturbed by others, after which a dry run leaves it."""
RERUN_BATCH = 100
"""Jobs after which a workflow is saved: a long repair that writes nothing looks like a dead one."""


def repair(
    pad: LaunchPad,
    campaign: str,
    criteria: LivenessCriteria | None = None,
    *,
    dry_run: bool = False,
    retry: bool = False,
) -> RepairReport:
    """Find and mend what dead workers left of a campaign's jobs.

    Parameters
    ----------
    pad
        The launchpad.
    campaign
        Name of the campaign. No other's jobs are touched.
    criteria
        What tells a dead worker from a living one. None: no worker is known to be dead, but locks,
        reservations and orphans grow old.
    dry_run
        Only find.
    retry
        Run jobs again that were given up.
    """
    criteria = criteria or LivenessCriteria()
    fields = {"fw_id": 1, "name": 1, "launches": 1, "created_on": 1}
    jobs = list(pad.fireworks.find({"spec.campaign": campaign}, fields))
    of_campaign = {"nodes": {"$in": [job["fw_id"] for job in jobs]}}
    large_fields = {"links": 0, "parent_links": 0, "fw_states": 0}
    workflows = list(pad.workflows.find(of_campaign, large_fields))
    findings = _abandoned_launches(pad, jobs, criteria, dry_run)
    store = CampaignStore(pad.db, campaign)
    hold = store.hold()
    is_held = hold is not None and hold.keeps_jobs
    for workflow in workflows:
        findings += _WorkflowRepair(pad, workflow, criteria, retry, is_held).run(dry_run)
    # jobs of a workflow that is just being added are no orphans, and it may be the busy one
    if not any(finding.kind == "busy" for finding in findings):
        findings += _orphans(pad, jobs, workflows, criteria, dry_run)
    if not dry_run:
        # what was mended is READY, also where nothing may start
        apply_hold(pad, store, criteria.patience)
    return RepairReport(tuple(findings))


def retry_stages(pad: LaunchPad, store: CampaignStore, dry_run: bool = False) -> RepairReport:
    """Run the stages again that failed in the last iteration, and the jobs after them.

    Parameters
    ----------
    pad
        The launchpad.
    store
        The campaign.
    dry_run
        Only find.
    """
    messages = store.failed_stages()
    query = {
        "spec.campaign": store.name,
        "spec.uuid": {"$in": list(messages)},
        "state": "COMPLETED",
    }
    fields = {"fw_id": 1, "name": 1, "spec.uuid": 1}
    findings = []
    for job in pad.fireworks.find(query, fields).sort("fw_id", 1):
        uuid = job["spec"]["uuid"]
        problem = messages[uuid]
        finding = Finding("stage", job["fw_id"], job["name"], problem, "run again", uuid=uuid)
        findings.append(finding)
    if findings and not dry_run:
        store.set_state("running")
        for finding in findings:
            pad.rerun_fw(finding.job_id)
        store.delete_failures([str(finding.uuid) for finding in findings])
    return RepairReport(tuple(findings))


@dataclass(frozen=True)
class _WorkflowRepair:
    """The repair of one workflow.

    Attributes
    ----------
    pad
        The launchpad.
    workflow
        Document of the workflow as it was first seen, without its links and states.
    criteria, retry
        Arguments of `repair`.
    is_held
        Whether the campaign is paused or cancelled.
    """

    pad: LaunchPad
    workflow: Document
    criteria: LivenessCriteria
    retry: bool
    is_held: bool

    def run(self, dry_run: bool) -> list[Finding]:
        """Find under the workflow's lock what is wrong with it, and mend it."""
        is_done = self.workflow["state"] == "COMPLETED"
        findings = [] if is_done else self._diagnose()
        # most workflows have nothing to mend, and then nobody has to wait for their lock
        if "locked" not in self.workflow and not RepairReport(tuple(findings)):
            return findings
        patience = self.criteria.patience
        try:
            if dry_run:
                findings, had_dead_holder = self._diagnose_undisturbed()
            else:
                with hold_lock(self.pad, self.workflow["_id"], patience) as had_dead_holder:
                    findings = _mend_jobs(self.pad, self._diagnose())
                rerun = [finding for finding in findings if finding.kind in RERUN_KINDS]
                _close_launches(self.pad, rerun)
        except BusyError as err:
            return [self._finding("busy", str(err), "left for the next repair")]
        if had_dead_holder:
            lock = self._finding("lock", "locked by a worker that is dead", "unlocked")
            return [lock, *findings]
        return findings

    def _diagnose(self) -> list[Finding]:
        """Find what is wrong with the workflow as it is now."""
        document = self.pad.workflows.find_one({"_id": self.workflow["_id"]})
        return diagnose(self.pad, document, self.criteria, self.retry, self.is_held)

    def _diagnose_undisturbed(self) -> tuple[list[Finding], bool]:
        """Find what is wrong with the workflow at a moment at which nobody changed it.

        Returns
        -------
        tuple
            The findings, and True if the holder of the workflow's lock is dead.
        """
        key = {"_id": self.workflow["_id"]}
        for _ in range(MAX_DIAGNOSES):
            before = await_free_lock(self.pad, key["_id"], self.criteria.patience)
            findings = self._diagnose()
            after = self.pad.workflows.find_one(key, {"locked": 1, "updated_on": 1})
            if after == before:
                return findings, "locked" in before
        raise BusyError(f"workflow {key['_id']} changed at each of {MAX_DIAGNOSES} looks")

    def _finding(self, kind: str, problem: str, remedy: str) -> Finding:
        """Build a finding of the workflow as a whole, under its first job's number."""
        first = min(self.workflow["nodes"])
        return Finding(kind, first, self.workflow["name"], problem, remedy)


def _mend_jobs(pad: LaunchPad, findings: list[Finding]) -> list[Finding]:
    """Mend jobs of one workflow, whose lock is held.

    Returns
    -------
    list
        The findings; what turned out to be impossible is given up.
    """
    ended = [finding.job_id for finding in findings if finding.kind == "ended"]
    waiting = [finding.job_id for finding in findings if finding.kind == "waiting"]
    rerun = [finding.job_id for finding in findings if finding.kind in RERUN_KINDS]
    # FireWorks goes on after a job only when its state changes: its end has to be news
    pad.fireworks.update_many({"fw_id": {"$in": ended}}, {"$set": {"state": "RUNNING"}})
    pad.fireworks.update_many({"fw_id": {"$in": waiting}}, {"$set": {"state": "WAITING"}})
    uuids = [finding.uuid for finding in findings if finding.uuid]
    for query in dangling_blobs(pad, uuids).values():
        pad.db[OUTPUTS].delete_one(query)
    # FireWorks keeps no count of the failures of a job that could not be read
    unread = {"fw_id": {"$in": rerun}, "state": "FIZZLED", "launches": []}
    pad.fireworks.update_many(unread, {"$inc": {"spec._unreadable": 1}})
    if _error_of(lambda: _rerun(pad, rerun)) is not None:
        # one job of them cannot run again: the others are to
        findings = [
            _attempt(finding, RERUN_KINDS, lambda fw_id: _rerun(pad, [fw_id]))
            for finding in findings
        ]
    return [
        _attempt(finding, ("ended", "waiting"), lambda fw_id: _refresh(pad, fw_id))
        for finding in findings
    ]


def _refresh(pad: LaunchPad, fw_id: int) -> None:
    """Have FireWorks do what follows from a job's end, or from that of all it waits for."""
    workflow = pad.get_wf_by_fw_id_lzyfw(fw_id)
    # in any other state it was refreshed together with the job before it
    if workflow.id_fw[fw_id].state in ("RUNNING", "WAITING"):
        pad._update_wf(workflow, workflow.refresh(fw_id))


def _rerun(pad: LaunchPad, fw_ids: list[int]) -> None:
    """Make jobs of one workflow READY, or WAITING, as FireWorks does, and save it once for many."""
    for start in range(0, len(fw_ids), RERUN_BATCH):
        batch = fw_ids[start : start + RERUN_BATCH]
        workflow = pad.get_wf_by_fw_id_lzyfw(batch[0])
        changed: set[int] = set()
        for fw_id in batch:
            changed |= workflow.rerun_fw(fw_id)
        pad._update_wf(workflow, changed)


def _attempt(finding: Finding, kinds: Iterable[str], change: Callable[[int], None]) -> Finding:
    """Mend a finding of these kinds; one that cannot be mended is given up with the reason."""
    if finding.kind not in kinds:
        return finding
    error = _error_of(lambda: change(finding.job_id))
    if error is None:
        return finding
    return replace(finding, kind="given up", remedy=f"given up: {error}", launches=())


def _error_of(change: Callable[[], None]) -> str | None:
    """Make a change; return what kept it from being made, unless it was the database."""
    try:
        change()
    except Exception as err:
        # a job or an action that cannot be read or applied here raises whatever its classes do;
        # the missing module of a user is such a case, and no fault of this machine
        if is_machine_fault(err) and not isinstance(err, ImportError):
            raise
        return f"{type(err).__name__}: {err}"
    return None


def _abandoned_launches(
    pad: LaunchPad, jobs: list[Document], criteria: LivenessCriteria, dry_run: bool
) -> list[Finding]:
    """Find, and close, the open launches of jobs that went on without them."""
    names = {job["fw_id"]: job["name"] for job in jobs}
    current = {number for job in jobs for number in job["launches"]}
    findings = []
    is_open = {"state": {"$in": list(OPEN_STATES)}}
    for launch in pad.launches.find(is_open, LAUNCH_FIELDS).sort("launch_id", 1):
        fw_id = launch["fw_id"]
        number = launch["launch_id"]
        if fw_id not in names or number in current:
            continue
        reason = criteria.why_dead(launch)
        if reason is None:
            continue
        problem = f"launch {number} is open, but {reason}"
        findings.append(Finding("left", fw_id, names[fw_id], problem, "closed", (number,)))
    if not dry_run:
        _close_launches(pad, findings)
    return findings


def _close_launches(pad: LaunchPad, findings: list[Finding]) -> None:
    """Mark the findings' launches as failed: nobody works on them, and their jobs were put back."""
    numbers = [number for finding in findings for number in finding.launches]
    query = {"launch_id": {"$in": numbers}, "state": {"$in": list(OPEN_STATES)}}
    for launch in pad.launches.find(query, {"launch_id": 1}):
        pad.mark_fizzled(launch["launch_id"])


def _orphans(
    pad: LaunchPad,
    jobs: list[Document],
    workflows: list[Document],
    criteria: LivenessCriteria,
    dry_run: bool,
) -> list[Finding]:
    """Find, and delete, old jobs that were in no workflow before the repair and are in none now."""
    in_workflows = {fw_id for workflow in workflows for fw_id in workflow["nodes"]}
    orphans = {}
    for job in jobs:
        if job["fw_id"] not in in_workflows and age(job["created_on"]) > criteria.patience:
            orphans[job["fw_id"]] = job
    # their workflow may have been saved since the others were read
    for workflow in pad.workflows.find({"nodes": {"$in": list(orphans)}}, {"nodes": 1}):
        for fw_id in workflow["nodes"]:
            orphans.pop(fw_id, None)
    if not dry_run:
        pad.fireworks.delete_many({"fw_id": {"$in": list(orphans)}})
        pad.launches.delete_many({"fw_id": {"$in": list(orphans)}})
    remedy = "deleted" if workflows else "deleted: then run `entropy-flows submit` again"
    return [
        Finding("orphan", fw_id, job["name"], "it is in no workflow", remedy)
        for fw_id, job in orphans.items()
    ]
