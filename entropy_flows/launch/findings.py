"""What is wrong with a workflow's jobs, told from what the database says of them; nothing is written here.

| killed | state left | kind |
| --- | --- | --- |
| in a job's body, or before its end was stored | RUNNING, and nobody runs it | lost |
| while taking a job, or waiting in the queue | RESERVED, and nobody will run it | reserved |
| between storing a job's end and the end of what follows from it | launch ended, job or workflow not | ended |
| by its disk, its memory, its database | FIZZLED | failed |
| while the last chunk of a fan-out ends, and what gathers them pauses | PAUSED or WAITING, for nothing | waiting |
| between a job's output and the output's arrays | COMPLETED, arrays missing, jobs after it need them | arrays |
"""

from __future__ import annotations

from fireworks import Firework, LaunchPad

from entropy_flows.launch.liveness import (
    Document,
    Finding,
    LivenessCriteria,
    age,
    finding,
    last_sign,
)
from entropy_flows.launch.missing_inputs import waiting_for_nothing, without_arrays

MAX_ATTEMPTS = 5
"""Failures of a job by its machine after which only `--retry` runs it again."""
JOB_FIELDS = ("fw_id", "name", "state", "launches", "archived_launches", "updated_on")
SPEC_FIELDS = (
    "spec.uuid",
    "spec.needs",
    "spec.chunk",
    "spec._unreadable",
    "spec._exception_details._stacktrace",
)
STACKTRACE = "action.stored_data._exception._stacktrace"
LAUNCH_FIELDS = ("launch_id", "fw_id", "state", "state_history", "fworker.name", STACKTRACE)


def look(
    pad: LaunchPad, workflow: Document, evidence: LivenessCriteria, retry: bool = False
) -> list[Finding]:
    """What is wrong with a workflow's jobs.

    Parameters
    ----------
    pad
        The launchpad.
    workflow
        Its document. While others work on it, what is found may be work in progress: hold its lock,
        and look again.
    evidence
        Who is dead.
    retry
        Run jobs again, however often they failed.
    """
    told = {int(fw_id): state for fw_id, state in workflow["fw_states"].items()}
    around = {
        "fw_id": {"$gte": min(told), "$lte": max(told)}
    }  # naming thousands of jobs costs seconds
    found = pad.fireworks.find(around, (*JOB_FIELDS, *SPEC_FIELDS))
    jobs = {job["fw_id"]: job for job in found if job["fw_id"] in told}
    doubtful = [
        job for fw_id, job in sorted(jobs.items()) if not _is_settled(job["state"], told[fw_id])
    ]
    numbers = [
        number for job in doubtful for number in (*job["launches"], *job["archived_launches"])
    ]
    documents = pad.launches.find({"launch_id": {"$in": numbers}}, LAUNCH_FIELDS)
    launches = {launch["launch_id"]: launch for launch in documents}
    judged = (judge(job, told[job["fw_id"]], launches, evidence, retry) for job in doubtful)
    findings = [one for one in judged if one is not None]
    again = {one.fw_id for one in findings if one.kind in ("lost", "reserved")}
    findings += waiting_for_nothing(pad, workflow, jobs, evidence.patience)
    return findings + without_arrays(pad, workflow, jobs, again)


def judge(
    job: Document,
    told: str | None,
    launches: dict[int, Document],
    evidence: LivenessCriteria,
    retry: bool,
) -> Finding | None:
    """What is wrong with one job, whose workflow was told a state; None if nothing is, or nobody can say yet."""
    launch = _deciding([launches[number] for number in job["launches"] if number in launches])
    state, ended = job["state"], None if launch is None else launch["state"]
    named = launch is not None and evidence.names(launch)
    settling = (
        state in ("RUNNING", "RESERVED")
        and not named
        and age(last_sign(launch or job)) <= evidence.patience
    )
    if ended == "COMPLETED":
        found = f"it has ended, {_says(state, told)}"
        return None if settling else finding("ended", job, found, "told to its workflow")
    if state == "COMPLETED":
        return None
    if launch is not None and ended in ("RUNNING", "RESERVED") and state != "FIZZLED":
        why = evidence.against(launch)
        kind, done = ("lost", "run again") if ended == "RUNNING" else ("reserved", "put back")
        return None if why is None else finding(kind, job, f"{ended}, but {why}", done)
    if settling:
        return None
    if state == "FIZZLED" or ended == "FIZZLED":
        return _failed(job, told, launches, retry)
    return finding("reserved", job, f"{state} without a launch", "put back")


def _failed(job: Document, told: str | None, launches: dict[int, Document], retry: bool) -> Finding:
    """A job that its machine failed is run again, but not for ever."""
    known = [
        launches[number]
        for number in sorted({*job["archived_launches"], *job["launches"]})
        if number in launches
    ]
    traces = [trace for trace in map(_trace, known) if trace]
    unread = (job["spec"].get("_exception_details") or {}).get("_stacktrace")
    attempts = len(traces) + job["spec"].get("_unreadable", 0)
    reason = last_line(unread or (traces[-1] if traces else "")) or "no reason was stored"
    if attempts < MAX_ATTEMPTS or retry:
        return finding("failed", job, f"failed: {reason}", "run again")
    if (job["state"], told) != ("FIZZLED", "FIZZLED"):
        return finding(
            "ended", job, f"it has failed, {_says(job['state'], told)}", "told to its workflow"
        )
    remedy = "given up: mend the cause, then repair --retry"
    return finding("given up", job, f"failed {attempts} times: {reason}", remedy)


def last_line(text: str) -> str:
    """Last line of a traceback: the error itself."""
    return (text.strip().splitlines() or [""])[-1].strip()[:300]


def _is_settled(state: str, told: str | None) -> bool:
    return state not in ("RUNNING", "RESERVED", "FIZZLED") and not (state == "COMPLETED" != told)


def _deciding(launches: list[Document]) -> Document | None:
    """Of a job's launches that which FireWorks goes by: the one that came furthest."""
    return max(launches, key=lambda launch: Firework.STATE_RANKS[launch["state"]], default=None)


def _trace(launch: Document) -> str | None:
    stored = ((launch.get("action") or {}).get("stored_data") or {}).get("_exception") or {}
    return stored.get("_stacktrace")


def _says(state: str, told: str | None) -> str:
    return f"it says {state}" if state == told else f"it says {state}, its workflow {told}"
