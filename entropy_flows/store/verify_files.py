"""Job outputs and their blobs, the launchpad, indexes, checkpoints: what surrounds a campaign's documents."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from gridfs import GridFSBucket
from pymongo.collection import Collection

from entropy_flows.settings import settings
from entropy_flows.store.connection import BLOBS, OUTPUTS
from entropy_flows.store.fence import NOW
from entropy_flows.store.lease import LEASE_SECONDS, LEASES
from entropy_flows.store.schema import LOOKUP, UNIQUE, serves
from entropy_flows.store.subject import VerifyContext, VerifyResult, file_defect, lasting

ACTIVE = ("RUNNING", "RESERVED")
AFTERWARDS = ("physics",)
"""Jobs that are submitted when the campaign may have ended."""
UNFINISHED = ("READY", "WAITING", "PAUSED", "DEFUSED")
MANY = 100
"""Identifiers in one query: the embedded server's time for it is quadratic."""


def outputs(subject: VerifyContext) -> VerifyResult:
    """Each job's output once, and its arrays where it says they are."""
    problems = lasting(lambda: _output_problems(subject))
    rows = _outputs(subject)
    used, uuids = set(_pointers(rows)), {row["uuid"] for row in rows} | set(_job_uuids(subject))
    wasted = [
        f"blob of job {blob['metadata']['job_uuid']}, {blob['length']} bytes: no output uses it"
        for blob in _blobs(subject, "job_uuid", uuids)
        if blob["metadata"]["blob_uuid"] not in used
    ]
    return VerifyResult("outputs", len(rows), problems, wasted)


def _output_problems(subject: VerifyContext) -> list[str]:
    rows = _outputs(subject)
    pointers = _pointers(rows)
    there = {blob["metadata"]["blob_uuid"] for blob in _blobs(subject, "blob_uuid", pointers)}
    found = Counter((row["uuid"], row["index"]) for row in rows)
    return [
        *(
            f"output of {row['name']} ({row['uuid']}): its arrays are missing"
            for blob, row in pointers.items()
            if blob not in there
        ),
        *(
            f"output of job {uuid}, index {index}: {n} times"
            for (uuid, index), n in found.items()
            if n > 1
        ),
    ]


def _outputs(subject: VerifyContext) -> list[dict[str, Any]]:
    names = ("uuid", "index", "name", "output.trajectories.blob_uuid")
    ours = {"metadata.campaign": subject.store.name}
    return list(subject.store.database[OUTPUTS].find(ours, dict.fromkeys(names, 1)))


def _pointers(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Name of a blob → the output whose arrays are in it."""
    blobs = (
        (((row.get("output") or {}).get("trajectories") or {}).get("blob_uuid"), row)
        for row in rows
    )
    return {blob: row for blob, row in blobs if blob is not None}


def _blobs(subject: VerifyContext, key: str, values: Iterable[str]) -> Iterator[dict[str, Any]]:
    files = subject.store.database[f"{BLOBS}.files"]
    return _chunked(files, f"metadata.{key}", values, {"metadata": 1, "length": 1})


def arrays(subject: VerifyContext) -> VerifyResult:
    """The bytes of the outputs' arrays against the checksum that was written with them."""
    pointers = _pointers(_outputs(subject))
    files = list(_blobs(subject, "blob_uuid", pointers))
    bucket = GridFSBucket(subject.store.database, BLOBS)
    problems = []
    for count, file in enumerate(files):
        subject.progress("arrays", count, len(files))
        facts = file["metadata"]
        output = pointers[facts["blob_uuid"]]
        what = f"arrays of {output['name']} ({output['uuid']})"
        if (facts.get("job_uuid"), facts.get("job_index")) != (output["uuid"], output["index"]):
            problems.append(
                f"{what}: their file is of job {facts.get('job_uuid')}, index {facts.get('job_index')}"
            )
        if defect := file_defect(bucket, file["_id"], facts.get("sha256")):
            problems.append(f"{what}: {defect}")
    return VerifyResult("arrays", len(files), problems)


def _job_uuids(subject: VerifyContext) -> Iterator[str]:
    for job in subject.pad.fireworks.find({"spec.campaign": subject.store.name}, {"spec.uuid": 1}):
        if "uuid" in job["spec"]:
            yield job["spec"]["uuid"]


def launchpad(subject: VerifyContext) -> VerifyResult:
    """Jobs in one workflow each, none there twice, none failed, no lock that stays, states that agree."""
    count = subject.pad.fireworks.count_documents({"spec.campaign": subject.store.name})
    return VerifyResult("launchpad", count, lasting(partial(_launchpad_problems, subject)))


def _launchpad_problems(subject: VerifyContext) -> list[str]:
    names = {
        "fw_id": 1,
        "name": 1,
        "state": 1,
        "spec.uuid": 1,
        "launches": 1,
        "archived_launches": 1,
    }
    jobs = {
        job["fw_id"]: job
        for job in subject.pad.fireworks.find({"spec.campaign": subject.store.name}, names)
    }
    workflows = list(_workflows(subject, jobs))
    placed = {number for workflow in workflows for number in workflow["nodes"]} & set(jobs)
    uuids = Counter(jobs[number]["spec"].get("uuid") for number in placed)
    problems = [
        f"workflow {workflow['name']!r}: locked since {workflow['updated_on']}"
        for workflow in workflows
        if workflow.get("locked")
    ]
    problems += [*_broken_links(workflows), *_lost_jobs(subject, workflows)]
    problems += [*_lost_launches(subject, jobs), *_lost_outputs(subject, jobs)]
    for number, job in jobs.items():
        if number not in placed:
            problems.append(f"{_name(job)}: in no workflow")
        elif (uuid := job["spec"].get("uuid")) is not None and uuids[uuid] > 1:
            problems.append(f"{_name(job)}: there {uuids[uuid]} times")
        if job["state"] == "FIZZLED":
            problems.append(f"{_name(job)}: FIZZLED; see `entropy-flows repair`")
    if not any(job["state"] in ACTIVE for job in jobs.values()):
        problems += _disagreements(subject, jobs, workflows)
    return problems


def _lost_jobs(subject: VerifyContext, workflows: list[dict[str, Any]]) -> Iterator[str]:
    """Jobs that a workflow has and the launchpad does not."""
    nodes = {number: workflow["name"] for workflow in workflows for number in workflow["nodes"]}
    there = {job["fw_id"] for job in _chunked(subject.pad.fireworks, "fw_id", nodes, {"fw_id": 1})}
    for number in sorted(nodes.keys() - there):
        yield f"job {number}: workflow {nodes[number]!r} has it, and it is gone"


def _lost_launches(subject: VerifyContext, jobs: dict[int, Any]) -> Iterator[str]:
    """Launches that a job has and the launchpad does not, or has as another job's."""
    owners = {
        number: [*job.get("launches", ()), *job.get("archived_launches", ())]
        for number, job in jobs.items()
    }
    wanted = [launch for launches in owners.values() for launch in launches]
    found = _chunked(
        subject.pad.launches, "launch_id", wanted, {"fw_id": 1, "launch_id": 1, "state": 1}
    )
    rows = {row["launch_id"]: row for row in found}
    for number, job in jobs.items():
        for launch in owners[number]:
            if rows.get(launch, {}).get("fw_id") != number:
                yield f"{_name(job)}: its launch {launch} is gone, or another job's"
        if len(set(owners[number])) < len(owners[number]):
            yield f"{_name(job)}: has a launch twice"
        states = [rows[launch].get("state") for launch in job.get("launches", ()) if launch in rows]
        if job["state"] == "COMPLETED" and "COMPLETED" not in states:
            yield f"{_name(job)}: COMPLETED, and none of its launches is"


def _broken_links(workflows: list[dict[str, Any]]) -> Iterator[str]:
    """Workflows whose jobs, links and states are not of the same jobs."""
    for workflow in workflows:
        nodes = sorted(workflow["nodes"])
        links = {
            int(parent): sorted(children) for parent, children in workflow.get("links", {}).items()
        }
        parents = {
            int(child): sorted(above) for child, above in workflow.get("parent_links", {}).items()
        }
        back: dict[int, list[int]] = {}
        for parent, children in links.items():
            for child in children:
                back.setdefault(child, []).append(parent)
        if (
            sorted(links) != nodes
            or {child: sorted(above) for child, above in back.items()} != parents
        ):
            yield f"workflow {workflow['name']!r}: its links and its jobs do not agree"
        if sorted(map(int, workflow["fw_states"])) != nodes:
            yield f"workflow {workflow['name']!r}: its states and its jobs do not agree"


def _lost_outputs(subject: VerifyContext, jobs: dict[int, Any]) -> Iterator[str]:
    """Jobs that have ended and returned nothing."""
    ended = {
        job["spec"]["uuid"]: job
        for job in jobs.values()
        if job["state"] == "COMPLETED" and "uuid" in job["spec"]
    }
    rows = _chunked(
        subject.store.database[OUTPUTS], "uuid", ended, {"uuid": 1, "metadata.campaign": 1}
    )
    there = {
        row["uuid"] for row in rows if row.get("metadata", {}).get("campaign") == subject.store.name
    }
    for uuid in sorted(ended.keys() - there):
        yield f"{_name(ended[uuid])}: COMPLETED, and its output is gone"


def _chunked(
    collection: Collection, field: str, values: Iterable[Any], fields: dict[str, int]
) -> Iterator[dict[str, Any]]:
    """Documents in which a field has one of these values."""
    wanted = sorted(values)
    for start in range(0, len(wanted), MANY):
        yield from collection.find({field: {"$in": wanted[start : start + MANY]}}, fields)


def _disagreements(
    subject: VerifyContext, jobs: dict[int, Any], workflows: list[dict[str, Any]]
) -> Iterator[str]:
    """Where job, workflow and campaign do not say the same, which they need not while something runs."""
    for workflow in workflows:
        for number, said in ((int(key), state) for key, state in workflow["fw_states"].items()):
            if number in jobs and jobs[number]["state"] != said:
                yield f"{_name(jobs[number])}: {jobs[number]['state']}, its workflow says {said}"
    if subject.store.document()["state"] == "done":
        for job in jobs.values():
            if job["state"] in UNFINISHED and job["name"] not in AFTERWARDS:
                yield f"{_name(job)}: {job['state']} although the campaign is done"


def _workflows(subject: VerifyContext, jobs: dict[int, Any]) -> Iterator[dict[str, Any]]:
    """The workflows that have these jobs, each once."""
    names = {
        "nodes": 1,
        "links": 1,
        "parent_links": 1,
        "fw_states": 1,
        "locked": 1,
        "updated_on": 1,
        "name": 1,
    }
    left = set(jobs)
    while left:
        number = left.pop()
        if (workflow := subject.pad.workflows.find_one({"nodes": number}, names)) is not None:
            left -= set(workflow["nodes"])
            yield workflow


def _name(job: dict[str, Any]) -> str:
    return f"job {job['fw_id']} ({job['name']})"


def leases(subject: VerifyContext) -> VerifyResult:
    """Rights to append that nobody has given back, by the server's clock; and those that would never end.

    That of a `run` that was killed is told, and is no error: the next one takes it.
    """
    ours = {"_id": {"$regex": f"/{re.escape(subject.store.name)}$"}}
    now = {"until": 1, "now": NOW}
    rows = list(subject.store.database[LEASES].aggregate([{"$match": ours}, {"$project": now}]))
    problems: list[str] = []
    wasted: list[str] = []
    for row in rows:
        left = (row.get("until", 0) - row["now"]) / 1000
        if left < -LEASE_SECONDS:
            line = f"lease {row['_id']}: it ran out {-left:.0f} s ago and was not given back"
            (wasted if row["_id"].startswith("run/") else problems).append(line)
        elif left > 2 * LEASE_SECONDS:
            problems.append(
                f"lease {row['_id']}: it would end in {left:.0f} s; nobody takes one for so long"
            )
    return VerifyResult("leases", len(rows), problems, wasted)


def indexes(subject: VerifyContext) -> VerifyResult:
    """All that keep a document from being written twice, and all that queries need."""
    problems, count = [], 0
    for table, kind in ((UNIQUE, "unique index"), (LOOKUP, "index")):
        for collection, wanted in table.items():
            there = subject.store.database[collection].index_information().values()
            for keys in wanted:
                count += 1
                if not any(serves(index, keys, unique=table is UNIQUE) for index in there):
                    problems.append(
                        f"{collection}: no {kind} on {', '.join(keys)}; `entropy-flows submit` makes it"
                    )
    return VerifyResult("indexes", count, problems)


def checkpoints(subject: VerifyContext) -> VerifyResult:
    """Files that long jobs left on this machine; a campaign that has ended needs none."""
    folder = settings().cache.expanduser() / "checkpoints" / subject.store.name
    files = [path for path in folder.rglob("*") if path.is_file()]
    ended = subject.document["state"] in ("done", "failed")
    size = sum(path.stat().st_size for path in files)
    wasted = (
        [f"{folder}: {len(files)} files, {size} bytes, of a campaign that has ended"]
        if ended and files
        else []
    )
    return VerifyResult("checkpoints", len(files), [], wasted)


FILE_CHECKS: tuple[Callable[[VerifyContext], VerifyResult], ...] = (
    outputs,
    arrays,
    launchpad,
    leases,
    indexes,
    checkpoints,
)
