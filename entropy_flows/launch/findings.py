"""Diagnose what is wrong with a workflow's jobs from their documents; nothing is written here.

| killed | state left | kind |
| --- | --- | --- |
| in a job's body, or before its end was stored | RUNNING, and nobody runs it | lost |
| while taking a job, or waiting in the queue | RESERVED, and nobody will run it | reserved |
| between storing a job's end and what follows from it | launch ended, job or workflow not | ended |
| by its disk, its memory, its database | FIZZLED | failed |
| while the last chunk ends and what gathers it pauses | PAUSED or WAITING, for nothing | waiting |
| between an output and its arrays | COMPLETED, arrays missing, jobs after it need them | arrays |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from entropy_flows.launch.liveness import Document, LivenessCriteria, age, last_sign
from entropy_flows.launch.missing_inputs import jobs_that_wait_in_vain, missing_inputs
from entropy_flows.launch.repair_report import Finding
from entropy_flows.launch.waiting import WAITING_FIELDS

if TYPE_CHECKING:
    from fireworks import LaunchPad

MAX_ATTEMPTS = 5
"""Failures of a job by its machine after which only `--retry` runs it again."""
MAX_REASON = 300
"""Characters of an error's message that are shown."""
JOB_FIELDS = ("fw_id", "name", "state", "launches", "archived_launches", "updated_on")
SPEC_FIELDS = (
    *WAITING_FIELDS,
    "spec._unreadable",
    "spec._exception_details._stacktrace",
)
STACKTRACE = "action.stored_data._exception._stacktrace"
LAUNCH_FIELDS = ("launch_id", "fw_id", "state", "state_history", "fworker.name", STACKTRACE)
OPEN_STATES = ("RUNNING", "RESERVED")
"""States of a job, or of a launch, that a worker or the queue has taken."""


def diagnose(
    pad: LaunchPad,
    workflow: Document,
    criteria: LivenessCriteria,
    retry: bool = False,
    is_held: bool = False,
) -> list[Finding]:
    """Find what is wrong with a workflow's jobs.

    Parameters
    ----------
    pad
        The launchpad.
    workflow
        Document of the workflow. While others work on it, a finding may be work in progress: hold
        its lock, and diagnose again.
    criteria
        What tells a dead worker from a living one.
    retry
        Run jobs again, however often they failed.
    is_held
        Whether the campaign is held: paused or cancelled.
    """
    recorded = {int(fw_id): state for fw_id, state in workflow["fw_states"].items()}
    # a range, because a query that lists thousands of numbers takes seconds
    numbers = {"fw_id": {"$gte": min(recorded), "$lte": max(recorded)}}
    documents = pad.fireworks.find(numbers, (*JOB_FIELDS, *SPEC_FIELDS))
    jobs = {job["fw_id"]: job for job in documents if job["fw_id"] in recorded}
    unsettled = [
        job for fw_id, job in sorted(jobs.items()) if not _is_settled(job, recorded[fw_id])
    ]
    launches = _launches_of(pad, unsettled)
    findings = []
    for job in unsettled:
        finding = _JobState(job, recorded[job["fw_id"]], launches, criteria, retry).diagnose()
        if finding is not None:
            findings.append(finding)
    rerun = {finding.job_id for finding in findings if finding.kind in ("lost", "reserved")}
    findings += jobs_that_wait_in_vain(pad, workflow, jobs, criteria.patience, is_held)
    return findings + missing_inputs(pad, workflow, jobs, rerun)


def last_line(text: str) -> str:
    """Return the last line of a traceback: the error itself."""
    lines = text.strip().splitlines() or [""]
    return lines[-1].strip()[:MAX_REASON]


@dataclass(frozen=True)
class _JobState:
    """One job, with all that says how it stands.

    Attributes
    ----------
    job
        Document of the job.
    recorded
        State that its workflow has recorded for it.
    launches
        Number → document of launches, the job's among them.
    criteria, retry
        Arguments of `diagnose`.
    """

    job: Document
    recorded: str | None
    launches: dict[int, Document]
    criteria: LivenessCriteria
    retry: bool

    def diagnose(self) -> Finding | None:
        """Find what is wrong with the job; None if nothing is, or nobody can say yet."""
        job = self.job
        state = job["state"]
        launch = self._furthest_launch()
        launch_state = None if launch is None else launch["state"]
        is_settling = self._is_settling(launch)
        if launch_state == "COMPLETED":
            problem = f"it has ended, {self._states()}"
            if is_settling:
                return None
            return Finding.of_job("ended", job, problem, "told to its workflow")
        if state == "COMPLETED":
            return None
        if launch is not None and launch_state in OPEN_STATES and state != "FIZZLED":
            return self._open_launch(launch)
        if is_settling:
            return None
        if state == "FIZZLED" or launch_state == "FIZZLED":
            return self._failed()
        return Finding.of_job("reserved", job, f"{state} without a launch", "put back")

    def _furthest_launch(self) -> Document | None:
        """Return that of the job's launches which FireWorks goes by: the one that came furthest."""
        from fireworks import Firework

        numbers = self.job["launches"]
        current = [self.launches[number] for number in numbers if number in self.launches]
        ranks = Firework.STATE_RANKS
        return max(current, key=lambda launch: ranks[launch["state"]], default=None)

    def _is_settling(self, launch: Document | None) -> bool:
        """Return True if a living worker may be between two writes of this job."""
        if self.job["state"] not in OPEN_STATES:
            return False
        if launch is not None and self.criteria.has_dead_worker(launch):
            return False
        return age(last_sign(launch or self.job)) <= self.criteria.patience

    def _open_launch(self, launch: Document) -> Finding | None:
        """Find that nobody works on a launch that is running or reserved."""
        reason = self.criteria.why_dead(launch)
        if reason is None:
            return None
        problem = f"{launch['state']}, but {reason}"
        if launch["state"] == "RUNNING":
            return Finding.of_job("lost", self.job, problem, "run again")
        return Finding.of_job("reserved", self.job, problem, "put back")

    def _failed(self) -> Finding:
        """Have a job that its machine failed run again, but not for ever."""
        job = self.job
        numbers = sorted({*job["archived_launches"], *job["launches"]})
        documents = [self.launches[number] for number in numbers if number in self.launches]
        traces = [trace for trace in map(_stacktrace, documents) if trace]
        # a job that could not even be read has no launch, and its traceback is in its spec
        unread = (job["spec"].get("_exception_details") or {}).get("_stacktrace")
        attempts = len(traces) + job["spec"].get("_unreadable", 0)
        reason = last_line(unread or (traces[-1] if traces else "")) or "no reason was stored"
        if attempts < MAX_ATTEMPTS or self.retry:
            return Finding.of_job("failed", job, f"failed: {reason}", "run again")
        if (job["state"], self.recorded) != ("FIZZLED", "FIZZLED"):
            problem = f"it has failed, {self._states()}"
            return Finding.of_job("ended", job, problem, "told to its workflow")
        remedy = "given up: mend the cause, then repair --retry"
        return Finding.of_job("given up", job, f"failed {attempts} times: {reason}", remedy)

    def _states(self) -> str:
        """Write the states that the job and its workflow have of it."""
        state = self.job["state"]
        if state == self.recorded:
            return f"it says {state}"
        return f"it says {state}, its workflow {self.recorded}"


def _launches_of(pad: LaunchPad, jobs: list[Document]) -> dict[int, Document]:
    """Return number → document of all launches that these jobs have or had."""
    numbers: list[int] = []
    for job in jobs:
        numbers += [*job["launches"], *job["archived_launches"]]
    documents = pad.launches.find({"launch_id": {"$in": numbers}}, LAUNCH_FIELDS)
    return {launch["launch_id"]: launch for launch in documents}


def _is_settled(job: Document, recorded: str | None) -> bool:
    """Return True if nothing can be wrong with a job's state."""
    state = job["state"]
    if state in (*OPEN_STATES, "FIZZLED"):
        return False
    return state != "COMPLETED" or recorded == "COMPLETED"


def _stacktrace(launch: Document) -> str | None:
    """Return the traceback that a failed launch has stored."""
    stored = (launch.get("action") or {}).get("stored_data") or {}
    return (stored.get("_exception") or {}).get("_stacktrace")
