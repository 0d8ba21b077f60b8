"""Check what surrounds a campaign's documents: outputs of jobs, arrays, indexes, checkpoints."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from gridfs import GridFSBucket

from entropy_flows.settings import settings
from entropy_flows.store.connection import BLOBS, OUTPUTS
from entropy_flows.store.fence import NOW
from entropy_flows.store.lease import LEASE_SECONDS, LEASES
from entropy_flows.store.schema import LOOKUP, UNIQUE, serves
from entropy_flows.store.subject import (
    VerifyContext,
    VerifyResult,
    file_defect,
    find_in_batches,
    lasting,
)


def outputs(subject: VerifyContext) -> VerifyResult:
    """Each job's output once, and its arrays where it says they are."""
    problems = lasting(lambda: _output_problems(subject))
    rows = _outputs(subject)
    used, uuids = set(_pointers(rows)), {row["uuid"] for row in rows} | subject.job_uuids
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
    return find_in_batches(files, f"metadata.{key}", values, {"metadata": 1, "length": 1})


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
    leases,
    indexes,
    checkpoints,
)
