"""Overhead per trajectory: an iteration without training, over more and more conditions."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

from jobflow import Flow

from benchmarks.report import Section, Table
from benchmarks.scaling.bench import NAME, SEED, Batch, Bench, Workers
from benchmarks.scaling.measure import KB, LIMIT, MIB, largest, output_sizes, sizes, times
from benchmarks.timing import Options
from entropy_flows.jobs.common import document
from entropy_flows.jobs.explore import snapshots
from entropy_flows.schemas import ExploreDoc
from entropy_flows.store import job_store

GRIDS = {16: (2, 2, 2), 64: (4, 2, 4), 256: (8, 4, 4), 1536: (12, 8, 8)}
"""Conditions → numbers of pressures, temperatures and entropy weights; two phases each."""
ROWS = ((16, 8), (16, 32), (64, 8), (64, 32), (256, 8), (256, 32), (1536, 32))
"""Conditions, and conditions a job."""
QUICK = ROWS[:4]
LABELS, LABEL_BATCH = 100, 50
TEXT = f"""\
One iteration without training: trajectories of 7 steps with a snapshot each, selection, {LABELS}
labels at most, {LABEL_BATCH} a job; one worker. Body: seconds in the stage's own function
(loading the model, the equations of state, 7 steps). Overhead: what else the worker spent from
its first exploration to its last: taking jobs, and their bookkeeping."""
COLUMNS = [
    "conditions",
    "a job",
    "jobs",
    "wall, s",
    "jobs/s",
    "body, ms a trajectory",
    "overhead, ms a trajectory",
]
SIZES = [
    "conditions",
    "a job",
    "explore output",
    "select output",
    "job",
    "launch",
    "workflow",
    "iteration",
    "largest, %",
]


def run(options: Options, folder: Path) -> Section:
    """All sizes in one campaign, an iteration each."""
    bench = Bench(folder, "conditions")
    took = Table("Explorations", [*COLUMNS, "overhead, ms a job", "select, s", "plan, s"])
    weighs = Table("Largest documents, kB", SIZES)
    with Workers(bench, 1, lambda bench, jobs: add(bench, 16, max(1, 16 // jobs))) as workers:
        for count, size in QUICK if options.quick else ROWS:
            options.say(f"conditions: {count}, {size} a job")
            batch = add(bench, count, size)
            workers.wait(batch, "gather", 0)
            took.rows.append([count, size, *durations(bench, batch, count)])
            weighs.rows.append([count, size, *extents(bench, batch)])
    took.note = memory(bench, batch)
    weighs.note = (
        "An output's arrays are in GridFS and count as well. Last column: the largest document as "
        "a share of MongoDB's "
        "limit of 16 MiB."
    )
    return Section("Conditions", TEXT.replace("\n", " "), [took, weighs])


def add(bench: Bench, conditions: int, batch_size: int) -> Batch:
    """Put an iteration of so many conditions on the launchpad."""
    pressures, temperatures, weights = GRIDS[conditions]
    grid = {
        "pressures": [20 * n / pressures for n in range(pressures)],
        "temperatures": [300 + 50 * n for n in range(temperatures)],
        "entropy_weights": [1 + 0.1 * n for n in range(weights)],
    }
    makers = bench.makers(
        explore={**grid, "batch_size": batch_size}, label={"batch_size": LABEL_BATCH}
    )
    iteration = bench.next_iteration()
    explore = makers.iterations[0].explore
    context = replace(makers.context(NAME, bench.model, iteration), seed=SEED)
    explored = [
        explore.make(context, batch=number, seeds=bench.seeds)
        for number in range(explore.batches(list(bench.seeds)))
    ]
    outputs = [job.output for job in explored]
    selected = makers.iterations[0].select.make(context, explored=outputs, budget=LABELS)
    planned = makers.plan.make(context, accepted=selected.output, budget=LABELS)
    return bench.add(iteration, Flow([*explored, selected, planned]))


def durations(bench: Bench, batch: Batch, conditions: int) -> list[Any]:
    """Numbers of a row of the first table."""
    explored, selected, planned = (
        times(bench, batch, name) for name in ("explore", "select", "plan")
    )
    per_trajectory = [1e3 * seconds / conditions for seconds in (explored.body, explored.overhead)]
    per_job = 1e3 * explored.overhead / explored.jobs
    return [
        explored.jobs,
        explored.wall,
        explored.rate,
        *per_trajectory,
        per_job,
        selected.wall,
        planned.wall,
    ]


def extents(bench: Bench, batch: Batch) -> list[Any]:
    """Numbers of a row of the second table."""
    outputs = {name: output_sizes(bench, batch, name) for name in ("explore", "select")}
    stored = {
        "iteration": max(sizes(bench.store.database["iterations"], {"iteration": batch.iteration}))
    }
    documents = {**largest(bench, batch), **stored}
    most = max(
        *documents.values(), *(document for several in outputs.values() for document, _ in several)
    )
    whole = [max(document + arrays for document, arrays in several) for several in outputs.values()]
    return [*(size / KB for size in (*whole, *documents.values())), 100 * most / LIMIT]


def memory(bench: Bench, batch: Batch) -> str:
    """Say what selection holds at once: explore outputs of the last row, and their cells."""
    jobs = bench.pad.fireworks.find(
        {"fw_id": {"$gte": batch.first}, "name": "explore"}, {"spec.uuid": 1}
    )
    with job_store() as store:
        tracemalloc.start()
        outputs = [
            store.query_one({"uuid": job["spec"]["uuid"]}, load=True)["output"] for job in jobs
        ]
        batches = [document(ExploreDoc, output) for output in outputs]
        pool = [snapshot for doc in batches if doc is not None for snapshot in snapshots(doc)]
        held = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
    each = held / len(pool) / KB
    return (
        f"Selection holds its pool at once: {len(pool):,} snapshots in {held / MIB:.0f} MiB, "
        f"{each:.1f} kB each."
    )
