"""Find jobs whose inputs are there or will never be; nothing is written here.

Inputs of a job are the jobs before it, the chunks of a fan-out that it gathers, and the arrays and
task documents of the outputs that it reads, which are blobs.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from entropy_flows.launch.liveness import Document, age
from entropy_flows.launch.repair_report import Finding
from entropy_flows.launch.waiting import must_wait, pauses_by_itself
from entropy_flows.store.connection import BLOBS, OUTPUTS
from entropy_flows.store.outputs import STAGE_BLOBS, blob_key, blobs_of

if TYPE_CHECKING:
    from fireworks import LaunchPad


def jobs_that_wait_in_vain(
    pad: LaunchPad,
    workflow: Document,
    jobs: dict[int, Document],
    patience: float,
    is_held: bool = False,
) -> list[Finding]:
    """Find the jobs that wait although all that they wait for is done.

    Parameters
    ----------
    pad
        The launchpad.
    workflow
        Document of the workflow.
    jobs
        FireWorks' number → document of the workflow's jobs.
    patience
        Seconds for which such a state may be a living worker's work in progress.
    is_held
        Whether the campaign is held, so that its jobs are PAUSED for that reason.
    """
    states = ("WAITING",) if is_held else ("WAITING", "PAUSED")
    recorded = workflow["fw_states"]
    findings = []
    for fw_id, job in sorted(jobs.items()):
        if job["state"] not in states or age(job["updated_on"]) <= patience:
            continue
        parents = workflow["parent_links"].get(str(fw_id), [])
        if job["state"] == "WAITING":
            if all(recorded[str(parent)] == "COMPLETED" for parent in parents):
                problem = "WAITING, but all before it is COMPLETED"
                findings.append(Finding.of_job("waiting", job, problem, "let go on"))
        elif pauses_by_itself(job["spec"]) and not must_wait(pad, job["spec"]):
            problem = "PAUSED, but all it waits for is there"
            findings.append(Finding.of_job("waiting", job, problem, "let go on"))
    return findings


def missing_inputs(
    pad: LaunchPad, workflow: Document, jobs: dict[int, Document], rerun: set[int]
) -> list[Finding]:
    """Find the completed jobs that lost a part of their output which a later job will read.

    Parameters
    ----------
    pad
        The launchpad.
    workflow
        Document of the workflow.
    jobs
        FireWorks' number → document of the workflow's jobs.
    rerun
        Numbers of the jobs that will run again.
    """
    unfinished = ("WAITING", "READY", "FIZZLED")
    readers = rerun | {fw_id for fw_id, job in jobs.items() if job["state"] in unfinished}
    findings: dict[int, Finding] = {}
    while readers:
        parents = _parents(workflow, readers) & set(jobs)
        completed = {
            jobs[fw_id]["spec"].get("uuid"): jobs[fw_id]
            for fw_id in parents
            if jobs[fw_id]["state"] == "COMPLETED"
        }
        problem = "COMPLETED, but a part of its output is missing"
        # a job that runs again for its arrays reads the arrays of those before it
        readers = set()
        for uuid in dangling_blobs(pad, completed):
            job = completed[uuid]
            if job["fw_id"] not in findings:
                readers.add(job["fw_id"])
                finding = Finding.of_job("arrays", job, problem, "run again", uuid)
                findings[job["fw_id"]] = finding
    return list(findings.values())


def _parents(workflow: Document, children: set[int]) -> set[int]:
    """Return the numbers of the jobs right before some of a workflow's jobs."""
    return {int(fw_id) for fw_id, after in workflow["links"].items() if children & set(after)}


def dangling_blobs(pad: LaunchPad, uuids: Iterable[str]) -> dict[str, dict[str, str]]:
    """Find the outputs of these jobs that point at blobs which are not there.

    Returns
    -------
    dict
        Job's uuid → a query for the output with that pointer.
    """
    keys = {field: blob_key(field) for field in STAGE_BLOBS}
    has_blob = [{key: {"$exists": True}} for key in keys.values()]
    query = {"uuid": {"$in": list(uuids)}, "$or": has_blob}
    rows = list(pad.db[OUTPUTS].find(query, dict.fromkeys(("uuid", *keys.values()), 1)))
    pointers = [
        (row["uuid"], keys[field], blob)
        for row in rows
        for field, blob in blobs_of(row, STAGE_BLOBS).items()
    ]
    name = "metadata.blob_uuid"
    blobs = [blob for _, _, blob in pointers]
    present = set(pad.db[f"{BLOBS}.files"].distinct(name, {name: {"$in": blobs}}))
    return {uuid: {"uuid": uuid, key: blob} for uuid, key, blob in pointers if blob not in present}
