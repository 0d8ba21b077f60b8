"""What the jobs that are still to run wait for: jobs before them, chunks of a fan-out, arrays; nothing is written."""

from __future__ import annotations

from collections.abc import Iterable

from fireworks import LaunchPad

from entropy_flows.launch.fanout import is_complete
from entropy_flows.launch.liveness import Document, Finding, age, finding
from entropy_flows.store.connection import BLOBS, OUTPUTS

ARRAYS = "output.trajectories.blob_uuid"
"""Where an output points at its arrays."""


def waiting_for_nothing(
    pad: LaunchPad, workflow: Document, jobs: dict[int, Document], patience: float
) -> list[Finding]:
    """Jobs that wait although what they wait for is done: jobs of their workflow, or chunks in others."""
    ahead, told = workflow["parent_links"], workflow["fw_states"]
    findings = []
    for fw_id, job in sorted(jobs.items()):
        if job["state"] not in ("WAITING", "PAUSED") or age(job["updated_on"]) <= patience:
            continue
        parents, needs = ahead.get(str(fw_id), []), job["spec"].get("needs")
        if job["state"] == "WAITING" and all(
            told[str(parent)] == "COMPLETED" for parent in parents
        ):
            findings.append(
                finding("waiting", job, "WAITING, but all before it is COMPLETED", "let go on")
            )
        if (
            job["state"] == "PAUSED"
            and needs
            and "chunk" not in job["spec"]
            and is_complete(pad, needs)
        ):
            findings.append(
                finding("waiting", job, "PAUSED, but all it gathers is there", "let go on")
            )
    return findings


def without_arrays(
    pad: LaunchPad, workflow: Document, jobs: dict[int, Document], again: set[int]
) -> list[Finding]:
    """Completed jobs whose arrays are missing where a job that is still to run, maybe again, will ask for them."""
    asking = again | {
        fw_id for fw_id, job in jobs.items() if job["state"] in ("WAITING", "READY", "FIZZLED")
    }
    findings: dict[int, Finding] = {}
    while asking:
        parents = {
            int(fw_id) for fw_id, after in workflow["links"].items() if asking & set(after)
        } & set(jobs)
        asked = {
            jobs[i]["spec"].get("uuid"): jobs[i] for i in parents if jobs[i]["state"] == "COMPLETED"
        }
        lost = {asked[uuid]["fw_id"]: asked[uuid] for uuid in dangling(pad, asked)}
        asking = lost.keys() - findings.keys()  # run again, these ask for others' arrays themselves
        found = "COMPLETED, but the arrays of its output are missing"
        findings |= {
            i: finding("arrays", lost[i], found, "run again", lost[i]["spec"]["uuid"])
            for i in asking
        }
    return list(findings.values())


def dangling(pad: LaunchPad, uuids: Iterable[str]) -> dict[str, str]:
    """Outputs of these jobs that point at arrays which are not there: uuid of the job → that of the arrays."""
    query = {"uuid": {"$in": list(uuids)}, ARRAYS: {"$exists": True}}
    pointers = {
        doc["uuid"]: doc["output"]["trajectories"]["blob_uuid"]
        for doc in pad.db[OUTPUTS].find(query, {"uuid": 1, ARRAYS: 1})
    }
    stored = pad.db[f"{BLOBS}.files"].find(
        {"metadata.blob_uuid": {"$in": list(pointers.values())}}, {"metadata.blob_uuid": 1}
    )
    there = {file["metadata"]["blob_uuid"] for file in stored}
    return {uuid: blob for uuid, blob in pointers.items() if blob not in there}
