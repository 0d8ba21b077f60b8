"""Check what surrounds a campaign's documents: outputs of jobs, arrays, indexes, checkpoints."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from gridfs import GridFSBucket

from entropy_flows.settings import settings
from entropy_flows.store.connection import BLOBS, OUTPUTS
from entropy_flows.store.fence import NOW
from entropy_flows.store.lease import LEASE_SECONDS, LEASES
from entropy_flows.store.outputs import STAGE_BLOBS, TASK_BLOBS, blob_key, blobs_of
from entropy_flows.store.schema import LOOKUP, UNIQUE, serves
from entropy_flows.store.verify_context import (
    Check,
    VerifyContext,
    VerifyResult,
    file_defect,
    find_in_batches,
    lasting,
)

BLOB_FIELDS = (*STAGE_BLOBS, *TASK_BLOBS)
TAKEN_AGAIN = ("run/", "settings/")
"""Beginnings of the names of leases that the next process of their kind takes."""


def outputs(context: VerifyContext) -> VerifyResult:
    """Check that each job's output is there once, and its arrays where it says they are."""
    problems = lasting(lambda: _output_problems(context))
    rows = _outputs(context)
    used = set(_pointers(rows))
    uuids = {row["uuid"] for row in rows} | context.job_uuids
    wasted = [
        f"blob of job {blob['metadata']['job_uuid']}, {blob['length']} bytes: no output uses it"
        for blob in _blobs(context, "job_uuid", uuids)
        if blob["metadata"]["blob_uuid"] not in used
    ]
    return VerifyResult("outputs", len(rows), problems, wasted)


def _output_problems(context: VerifyContext) -> list[str]:
    rows = _outputs(context)
    pointers = _pointers(rows)
    blobs = {blob["metadata"]["blob_uuid"] for blob in _blobs(context, "blob_uuid", pointers)}
    problems = [
        f"output of {row['name']} ({row['uuid']}): its arrays are missing"
        for blob, row in pointers.items()
        if blob not in blobs
    ]
    counts = Counter((row["uuid"], row["index"]) for row in rows)
    for (uuid, index), n in counts.items():
        if n > 1:
            problems.append(f"output of job {uuid}, index {index}: {n} times")
    return problems


def _outputs(context: VerifyContext) -> list[dict[str, Any]]:
    names = ("uuid", "index", "name", *map(blob_key, BLOB_FIELDS))
    query = {"metadata.campaign": context.store.name}
    return list(context.store.database[OUTPUTS].find(query, dict.fromkeys(names, 1)))


def _pointers(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return name of a blob → the output that has a part in it."""
    return {blob: row for row in rows for blob in blobs_of(row, BLOB_FIELDS).values()}


def _blobs(context: VerifyContext, key: str, values: Iterable[str]) -> Iterator[dict[str, Any]]:
    files = context.store.database[f"{BLOBS}.files"]
    return find_in_batches(files, f"metadata.{key}", values, {"metadata": 1, "length": 1})


def arrays(context: VerifyContext) -> VerifyResult:
    """Check the bytes of the outputs' arrays against the checksum that was written with them."""
    pointers = _pointers(_outputs(context))
    files = list(_blobs(context, "blob_uuid", pointers))
    bucket = GridFSBucket(context.store.database, BLOBS)
    problems = []
    for count, file in enumerate(files):
        context.progress("arrays", count, len(files))
        metadata = file["metadata"]
        output = pointers[metadata["blob_uuid"]]
        title = f"arrays of {output['name']} ({output['uuid']})"
        job = (metadata.get("job_uuid"), metadata.get("job_index"))
        if job != (output["uuid"], output["index"]):
            problems.append(f"{title}: their file is of job {job[0]}, index {job[1]}")
        defect = file_defect(bucket, file["_id"], metadata.get("sha256"))
        if defect is not None:
            problems.append(f"{title}: {defect}")
    return VerifyResult("arrays", len(files), problems)


def leases(context: VerifyContext) -> VerifyResult:
    """Check for leases that ran out and were not given back, or that would never end.

    The time is that of the server's clock. The lease of a `run` or of a change that was killed is
    reported, but no error: the next one takes it.
    """
    query = {"_id": {"$regex": f"/{re.escape(context.store.name)}$"}}
    fields = {"until": 1, "now": NOW}
    rows = list(context.store.database[LEASES].aggregate([{"$match": query}, {"$project": fields}]))
    problems: list[str] = []
    wasted: list[str] = []
    for row in rows:
        left = (row.get("until", 0) - row["now"]) / 1000
        if left < -LEASE_SECONDS:
            line = f"lease {row['_id']}: it ran out {-left:.0f} s ago and was not given back"
            (wasted if row["_id"].startswith(TAKEN_AGAIN) else problems).append(line)
        elif left > 2 * LEASE_SECONDS:
            problems.append(
                f"lease {row['_id']}: it would end in {left:.0f} s; nobody takes one for so long"
            )
    return VerifyResult("leases", len(rows), problems, wasted)


def indexes(context: VerifyContext) -> VerifyResult:
    """Check for the indexes that keep documents from being written twice, or that queries use."""
    problems = []
    count = 0
    for table, kind in ((UNIQUE, "unique index"), (LOOKUP, "index")):
        for collection, required in table.items():
            present = context.store.database[collection].index_information().values()
            for keys in required:
                count += 1
                if not any(serves(index, keys, unique=table is UNIQUE) for index in present):
                    names = ", ".join(keys)
                    problems.append(
                        f"{collection}: no {kind} on {names}; `entropy-flows submit` makes it"
                    )
    return VerifyResult("indexes", count, problems)


def checkpoints(context: VerifyContext) -> VerifyResult:
    """Check for files that long jobs left on this machine; a campaign that has ended needs none."""
    folder = settings().cache.expanduser() / "checkpoints" / context.store.name
    files = [path for path in folder.rglob("*") if path.is_file()]
    ended = context.document["state"] in ("done", "failed")
    size = sum(path.stat().st_size for path in files)
    wasted = []
    if ended and files:
        wasted = [f"{folder}: {len(files)} files, {size} bytes, of a campaign that has ended"]
    return VerifyResult("checkpoints", len(files), [], wasted)


FILE_CHECKS: tuple[Check, ...] = (
    outputs,
    arrays,
    leases,
    indexes,
    checkpoints,
)
