"""Measure the overhead per label, one a job or many, and the bytes of a labelled structure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jobflow import Flow

from benchmarks.report import Section, Table
from benchmarks.scaling.bench import NAME, Batch, Bench, Workers
from benchmarks.scaling.measure import KB, LIMIT, Times, largest, times, weights
from benchmarks.timing import Options

ROWS = ((100, 1), (200, 1), (100, 100), (1000, 100), (10_000, 100))
"""Labels, and labels a job."""
QUICK = ((40, 1), (400, 40))
TEXT = """\
Cells of 16 atoms that are in the ledger already; the planning job adds the label jobs and the
gathering one, in chunks of 100 jobs; one worker. Body: seconds in the stage's own function, most
of them atomate2's around a pair potential; overhead as above, of the label jobs."""
COLUMNS = [
    "labels",
    "a job",
    "jobs",
    "wall, s",
    "jobs/s",
    "body, ms a label",
    "overhead, ms a label",
]
MORE = ["overhead, ms a job", "plan, s", "job, kB", "launch, kB", "workflow, kB", "largest, %"]


def run(options: Options, folder: Path) -> Section:
    """Run all sizes in one campaign, an iteration each.

    Its weight is taken before and after the last of either kind.
    """
    bench = Bench(folder, "labels")
    took = Table("Labels", [*COLUMNS, *MORE])
    weighs: dict[str, dict[str, float]] = {}
    with Workers(bench, 1, lambda bench, jobs: add(bench, jobs, 1)) as workers:
        for count, size in QUICK if options.quick else ROWS:
            options.say(f"labels: {count}, {size} a job")
            before = weights(bench)
            batch = add(bench, count, size)
            workers.wait(batch, "gather", 0)
            label, plan = times(bench, batch, "label"), times(bench, batch, "plan")
            took.rows.append(
                [count, size, *numbers(label, count), plan.wall, *extents(bench, batch)]
            )
            weighs[f"{size} a job"] = {
                name: 1000 * (weight - before.get(name, 0)) / count
                for name, weight in weights(bench).items()
            }
    took.note = (
        "Last columns: the largest documents, and the largest of all as a share of MongoDB's "
        "16 MiB."
    )
    return Section("Labels", TEXT.replace("\n", " "), [took, database(weighs, bench, folder)])


def add(bench: Bench, count: int, size: int) -> Batch:
    """Put cells into the ledger, and the job that plans their labels on the launchpad."""
    iteration = bench.next_iteration()
    bench.ledger.append_accepted(iteration, "select", bench.entries(iteration, count))
    makers = bench.makers(label={"batch_size": size})
    planned = makers.plan.make(makers.context(NAME, "", iteration), accepted=None)
    return bench.add(iteration, Flow([planned]))


def numbers(took: Times, labels: int) -> list[Any]:
    """What a table says of the label jobs."""
    per_label = [1e3 * seconds / labels for seconds in (took.body, took.overhead)]
    return [took.jobs, took.wall, took.rate, *per_label, 1e3 * took.overhead / took.jobs]


def extents(bench: Bench, batch: Batch) -> list[float]:
    """The largest documents, kB, and the largest of them, % of the limit."""
    found = largest(bench, batch)
    return [*(size / KB for size in found.values()), 100 * max(found.values()) / LIMIT]


def database(weighs: dict[str, dict[str, float]], bench: Bench, folder: Path) -> Table:
    """Weight of a thousand structures by collection."""
    table = Table("Database, kB per 1000 labelled structures", ["collection", *weighs])
    for name in sorted({name for column in weighs.values() for name in column}):
        values = [column.get(name, 0.0) / KB for column in weighs.values()]
        if max(values) >= 1:
            table.rows.append([name, *values])
    table.rows.append(["together", *(sum(column.values()) / KB for column in weighs.values())])
    documents = sum(weights(bench).values())
    files = sum(file.stat().st_size for file in (folder / "database").rglob("*") if file.is_file())
    table.note = (
        f"Lengths of the documents, d = 24. "
        f"On disk the server keeps these {documents / KB**2:.0f} MB of documents, "
        f"with their indexes and its journal, in {files / KB**2:.0f} MB."
    )
    return table
