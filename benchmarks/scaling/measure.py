"""What jobs took, told by their launches, and what documents weigh."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import bson
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo.collection import Collection

from benchmarks.scaling.bench import Batch, Bench
from entropy_flows.store.connection import BLOBS, OUTPUTS

KB, MIB = 1e3, 2**20
LIMIT = 16 * MIB
"""Of a document, in bytes."""
RAW: CodecOptions = CodecOptions(document_class=RawBSONDocument)


@dataclass(frozen=True)
class Times:
    """What some jobs of one name took.

    Attributes
    ----------
    jobs
        How many.
    wall
        Seconds from the start of the first to the end of the last.
    body
        Seconds within the stage's own function, summed.
    overhead
        The rest of the seconds that workers spent from their first to their last of these jobs,
        summed: FireWorks, jobflow, and the database, between two jobs too.
    """

    jobs: int
    wall: float
    body: float
    overhead: float

    @property
    def rate(self) -> float:
        """Jobs per second."""
        return self.jobs / self.wall


def times(bench: Bench, batch: Batch, name: str) -> Times:
    """Times of the completed jobs of this name."""
    stage = {"$regex": f"^{name}( |$)"}  # a label has its structure behind
    query = {"fw_id": {"$gte": batch.first}, "name": stage, "state": "COMPLETED"}
    numbers = [
        number
        for job in bench.pad.fireworks.find(query, {"launches": 1})
        for number in job["launches"]
    ]
    spells: dict[str, list[tuple[datetime, datetime]]] = defaultdict(list)
    for launch in bench.pad.launches.find({"launch_id": {"$in": numbers}}):
        at = {
            entry["state"]: datetime.fromisoformat(entry["created_on"])
            for entry in launch["state_history"]
        }
        spells[launch["fworker"]["name"]].append((at["RUNNING"], at["COMPLETED"]))
    wall = _span(spell for several in spells.values() for spell in several)
    busy = sum(_span(several) for several in spells.values())
    (document,) = (doc for doc in bench.store.iterations() if doc["iteration"] == batch.iteration)
    body = sum(
        seconds
        for job, seconds in document["seconds"].items()
        if job.split("/")[0].split(" ")[0] == name  # a label has its structure behind
    )
    return Times(len(numbers), wall, body, busy - body)


def _span(spells: Iterable[tuple[datetime, datetime]]) -> float:
    """Seconds from the first start to the last end."""
    spells = list(spells)
    return (max(end for _, end in spells) - min(start for start, _ in spells)).total_seconds()


def sizes(collection: Collection, query: dict[str, Any] | None = None) -> list[int]:
    """Bytes of the documents."""
    return [
        len(document.raw)
        for document in collection.with_options(codec_options=RAW).find(query or {})
    ]


def output_sizes(bench: Bench, batch: Batch, name: str) -> list[tuple[int, int]]:
    """Of the jobs of this name, bytes of the output's document and of its arrays in GridFS."""
    jobs = bench.pad.fireworks.find(
        {"fw_id": {"$gte": batch.first}, "name": name}, {"spec.uuid": 1}
    )
    found = list(
        bench.pad.db[OUTPUTS].find({"uuid": {"$in": [job["spec"]["uuid"] for job in jobs]}})
    )
    blobs = {
        file["metadata"]["job_uuid"]: file["length"]
        for file in bench.pad.db[f"{BLOBS}.files"].find(
            {"metadata.job_uuid": {"$in": [doc["uuid"] for doc in found]}}
        )
    }
    return [(len(bson.encode(doc)), blobs.get(doc["uuid"], 0)) for doc in found]


def largest(bench: Bench, batch: Batch) -> dict[str, int]:
    """Bytes of the largest job, launch and workflow that came with this batch."""
    ours = {"fw_id": {"$gte": batch.first}}
    return {
        "job": max(sizes(bench.pad.fireworks, ours)),
        "launch": max(sizes(bench.pad.launches, ours)),
        "workflow": max(sizes(bench.pad.workflows, {"nodes": {"$gte": batch.first}})),
    }


def weights(bench: Bench) -> dict[str, int]:
    """Bytes of each collection's documents."""
    names = bench.store.database.list_collection_names()
    return {name: sum(sizes(bench.store.database[name])) for name in sorted(names)}
