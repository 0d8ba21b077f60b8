"""Mend what dead workers left on the launchpad, while others work on it or not.

Each workflow with something wrong is mended under its lock, from what its jobs are then
(`findings`); a lock whose holder is dead is taken over (`lock`). Two things belong to no workflow:

- *left*: launches of jobs that went on without them;
- *orphan*: jobs in no workflow, inserted by a worker that died before it saved theirs. The job that
  adds them adds them
  again. They are told from jobs that are being added by their age, and because every lock that was
  held when they were seen has been free since.

Everything a job writes is written by key, so a job that runs twice costs time and nothing else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from fireworks import LaunchPad

from entropy_flows.faults import is_machine_fault
from entropy_flows.launch.findings import LAUNCH_FIELDS, look
from entropy_flows.launch.liveness import Document, Finding, LivenessCriteria, age
from entropy_flows.launch.lock import BusyError, held, wait
from entropy_flows.launch.missing_inputs import ARRAYS, dangling
from entropy_flows.store import CampaignStore
from entropy_flows.store.connection import OUTPUTS

MENDED = {
    "lock": "locks of dead workers removed",
    "ended": "ended jobs told to their workflow",
    "lost": "lost jobs run again",
    "reserved": "reserved jobs put back",
    "failed": "failed jobs run again",
    "arrays": "jobs without their arrays run again",
    "waiting": "jobs that waited for nothing let go on",
    "stage": "failed stages run again",
    "left": "old launches closed",
    "orphan": "orphaned jobs deleted",
}
TOLD = {"given up": "jobs given up", "busy": "workflows busy"}
AGAIN = ("lost", "reserved", "failed", "arrays")
OPEN = ["RUNNING", "RESERVED"]
LOOKS = 20
RERUN_CHUNK = 100
"""Jobs after which a workflow is saved: while nothing is written, a long repair looks like a
dead one.
"""


@dataclass(frozen=True)
class RepairReport:
    """What was found and mended; true if anything was mended."""

    findings: tuple[Finding, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """Number of findings per kind."""
        found = Counter(finding.kind for finding in self.findings)
        return {kind: found[kind] for kind in (*MENDED, *TOLD) if found[kind]}

    def __bool__(self) -> bool:
        return any(finding.kind in MENDED for finding in self.findings)

    def __add__(self, other: RepairReport) -> RepairReport:
        return RepairReport(self.findings + other.findings)

    def __str__(self) -> str:
        words = {**MENDED, **TOLD}
        return (
            ", ".join(f"{words[kind]}: {n}" for kind, n in self.counts.items()) or "nothing to mend"
        )


def repair(
    pad: LaunchPad,
    campaign: str,
    evidence: LivenessCriteria | None = None,
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
        Whose jobs to look at; no other's are touched.
    evidence
        Who is dead; None: nobody is known to be, but locks, reservations and orphans grow old.
    dry_run
        Only find.
    retry
        Run jobs again that were given up.
    """
    evidence = evidence or LivenessCriteria()
    jobs = list(
        pad.fireworks.find(
            {"spec.campaign": campaign}, {"fw_id": 1, "name": 1, "launches": 1, "created_on": 1}
        )
    )
    ours, fields = (
        {"nodes": {"$in": [job["fw_id"] for job in jobs]}},
        {"links": 0, "parent_links": 0, "fw_states": 0},
    )
    workflows = list(pad.workflows.find(ours, fields))
    findings = _left(pad, jobs, evidence, dry_run)
    for workflow in workflows:
        findings += _mend_workflow(pad, workflow, evidence, dry_run, retry)
    if not any(finding.kind == "busy" for finding in findings):
        findings += _orphans(pad, jobs, workflows, evidence, dry_run)
    return RepairReport(tuple(findings))


def retry_stages(pad: LaunchPad, store: CampaignStore, dry_run: bool = False) -> RepairReport:
    """Run again what failed for a reason of its own in the last iteration, and the jobs after it.

    Parameters
    ----------
    pad
        The launchpad.
    store
        The campaign.
    dry_run
        Only find.
    """
    rows = store.failures(
        stage={"$ne": "physics"}
    )  # no part of the loop: `physics --queue` submits it anew
    last = max((row["iteration"] for row in [*rows, *store.iterations()]), default=0)
    messages = {row["uuid"]: row["message"] for row in rows if row["iteration"] == last}
    query = {
        "spec.campaign": store.name,
        "spec.uuid": {"$in": list(messages)},
        "state": "COMPLETED",
    }
    findings = [
        Finding(
            "stage",
            job["fw_id"],
            job["name"],
            messages[job["spec"]["uuid"]],
            "run again",
            uuid=job["spec"]["uuid"],
        )
        for job in pad.fireworks.find(query, {"fw_id": 1, "name": 1, "spec.uuid": 1}).sort(
            "fw_id", 1
        )
    ]
    if findings and not dry_run:
        store.set_state("running")
        for finding in findings:
            pad.rerun_fw(finding.fw_id)
        store.forget_failures([str(finding.uuid) for finding in findings])
    return RepairReport(tuple(findings))


def _mend_workflow(
    pad: LaunchPad, workflow: Document, evidence: LivenessCriteria, dry_run: bool, retry: bool
) -> list[Finding]:
    """Find under the workflow's lock what is wrong with it, and mend it."""
    about, number = {"_id": workflow["_id"]}, min(workflow["nodes"])
    done = workflow["state"] == "COMPLETED"
    findings = [] if done else look(pad, pad.workflows.find_one(about), evidence, retry)
    if "locked" not in workflow and not RepairReport(tuple(findings)):
        return findings
    taken = Finding("lock", number, workflow["name"], "locked by a worker that is dead", "unlocked")
    try:
        if dry_run:
            findings, dead = _undisturbed(pad, workflow, evidence, retry)
            return [taken] * dead + findings
        with held(pad, workflow["_id"], evidence.patience) as dead:
            findings = _mend_jobs(pad, look(pad, pad.workflows.find_one(about), evidence, retry))
        _close(
            pad,
            [
                number
                for finding in findings
                if finding.kind in AGAIN
                for number in finding.launches
            ],
        )
        return [taken] * dead + findings
    except BusyError as err:
        return [Finding("busy", number, workflow["name"], str(err), "left for the next repair")]


def _undisturbed(
    pad: LaunchPad, workflow: Document, evidence: LivenessCriteria, retry: bool
) -> tuple[list[Finding], bool]:
    """What is wrong with a workflow that nobody changed during the look, and whether its lock's holder is dead."""
    about = {"_id": workflow["_id"]}
    for _ in range(LOOKS):
        seen = wait(pad, workflow["_id"], evidence.patience)
        findings = look(pad, pad.workflows.find_one(about), evidence, retry)
        if pad.workflows.find_one(about, {"locked": 1, "updated_on": 1}) == seen:
            return findings, "locked" in seen
    raise BusyError(f"workflow {workflow['_id']} changed at each of {LOOKS} looks")


def _mend_jobs(pad: LaunchPad, findings: list[Finding]) -> list[Finding]:
    """Mend jobs of one workflow, whose lock is held; what turns out to be impossible is given up."""
    ended = [finding.fw_id for finding in findings if finding.kind == "ended"]
    waiting = [finding.fw_id for finding in findings if finding.kind == "waiting"]
    again = [finding.fw_id for finding in findings if finding.kind in AGAIN]
    pad.fireworks.update_many(
        {"fw_id": {"$in": ended}}, {"$set": {"state": "RUNNING"}}
    )  # so that its end is news
    pad.fireworks.update_many({"fw_id": {"$in": waiting}}, {"$set": {"state": "WAITING"}})
    for uuid, blob in dangling(pad, [finding.uuid for finding in findings if finding.uuid]).items():
        pad.db[OUTPUTS].delete_one({"uuid": uuid, ARRAYS: blob})
    unread = {
        "fw_id": {"$in": again},
        "state": "FIZZLED",
        "launches": [],
    }  # FireWorks keeps no count of these
    pad.fireworks.update_many(unread, {"$inc": {"spec._unreadable": 1}})
    if _error(lambda: _rerun(pad, again)) is not None:  # one of them: the others are to run
        findings = [
            _tried(finding, AGAIN, lambda fw_id: _rerun(pad, [fw_id])) for finding in findings
        ]
    return [
        _tried(finding, ("ended", "waiting"), lambda fw_id: _refresh(pad, fw_id))
        for finding in findings
    ]


def _refresh(pad: LaunchPad, fw_id: int) -> None:
    """Have a workflow hear of a job's end, or of that of all it waits for, as FireWorks does."""
    workflow = pad.get_wf_by_fw_id_lzyfw(fw_id)
    if workflow.id_fw[fw_id].state in (
        "RUNNING",
        "WAITING",
    ):  # else it was told together with the job before it
        pad._update_wf(workflow, workflow.refresh(fw_id))


def _rerun(pad: LaunchPad, fw_ids: list[int]) -> None:
    """Make jobs of one workflow READY, or WAITING, as FireWorks does, and save it once for many."""
    for start in range(0, len(fw_ids), RERUN_CHUNK):
        some = fw_ids[start : start + RERUN_CHUNK]
        workflow, changed = pad.get_wf_by_fw_id_lzyfw(some[0]), set()
        for fw_id in some:
            changed |= workflow.rerun_fw(fw_id)
        pad._update_wf(workflow, changed)


def _tried(finding: Finding, kinds: Iterable[str], change: Callable[[int], None]) -> Finding:
    """A finding of these kinds, mended, or given up with the reason."""
    if finding.kind not in kinds:
        return finding
    error = _error(lambda: change(finding.fw_id))
    return (
        finding
        if error is None
        else replace(finding, kind="given up", done=f"given up: {error}", launches=())
    )


def _error(change: Callable[[], None]) -> str | None:
    """Make a change; what kept it from being made, unless it was the database."""
    try:
        change()
    except (
        Exception
    ) as err:  # a job or an action that cannot be read here, also for want of a module, or applied
        if is_machine_fault(err) and not isinstance(err, ImportError):
            raise
        return f"{type(err).__name__}: {err}"
    return None


def _left(
    pad: LaunchPad, jobs: list[Document], evidence: LivenessCriteria, dry_run: bool
) -> list[Finding]:
    """Launches that were never closed, of jobs that went on without them."""
    names = {job["fw_id"]: job["name"] for job in jobs}
    current = {number for job in jobs for number in job["launches"]}
    findings = []
    for launch in pad.launches.find({"state": {"$in": OPEN}}, LAUNCH_FIELDS).sort("launch_id", 1):
        fw_id, number = launch["fw_id"], launch["launch_id"]
        if (
            fw_id in names
            and number not in current
            and (why := evidence.against(launch)) is not None
        ):
            findings.append(
                Finding(
                    "left",
                    fw_id,
                    names[fw_id],
                    f"launch {number} is open, but {why}",
                    "closed",
                    (number,),
                )
            )
    if not dry_run:
        _close(pad, [number for finding in findings for number in finding.launches])
    return findings


def _close(pad: LaunchPad, numbers: list[int]) -> None:
    """Mark launches as failed that nobody works on, after their jobs were put back."""
    for launch in pad.launches.find(
        {"launch_id": {"$in": numbers}, "state": {"$in": OPEN}}, {"launch_id": 1}
    ):
        pad.mark_fizzled(launch["launch_id"])


def _orphans(
    pad: LaunchPad,
    jobs: list[Document],
    workflows: list[Document],
    evidence: LivenessCriteria,
    dry_run: bool,
) -> list[Finding]:
    """Delete what was in no workflow before these were looked at, is in none now, and was not added just now."""
    known = {fw_id for workflow in workflows for fw_id in workflow["nodes"]}
    old = {
        j["fw_id"]: j
        for j in jobs
        if j["fw_id"] not in known and age(j["created_on"]) > evidence.patience
    }
    for workflow in pad.workflows.find({"nodes": {"$in": list(old)}}, {"nodes": 1}):
        old = {fw_id: job for fw_id, job in old.items() if fw_id not in workflow["nodes"]}
    if not dry_run:
        pad.fireworks.delete_many({"fw_id": {"$in": list(old)}})
        pad.launches.delete_many({"fw_id": {"$in": list(old)}})
    done = "deleted" if workflows else "deleted: then run `entropy-flows submit` again"
    return [
        Finding("orphan", fw_id, job["name"], "it is in no workflow", done)
        for fw_id, job in old.items()
    ]
