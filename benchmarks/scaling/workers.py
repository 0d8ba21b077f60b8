"""Jobs per second of several workers."""

from __future__ import annotations

from pathlib import Path

from jobflow import Flow

from benchmarks.report import Section, Table
from benchmarks.scaling import labels
from benchmarks.scaling.bench import NAME, Batch, Bench, Workers
from benchmarks.scaling.measure import times
from benchmarks.timing import Options
from entropy_flows.jobs import IterationContext, SubtotalMaker

COUNTS, QUICK = (8, 4, 2, 1), (2, 1)
JOBS, FEW = 40, 12
TEXT = """\
Label jobs of one label each, all in one workflow, and jobs that do nothing, a workflow each. The
machine has two cores, which the workers share with the database server."""
COLUMNS = [
    "workers",
    "label jobs/s",
    "overhead, worker-ms a label job",
    "empty jobs/s",
    "worker-ms an empty job",
]


def run(options: Options, folder: Path) -> Section:
    """Most workers first, since ending some is quicker than starting them."""
    bench, count = Bench(folder, "workers"), FEW if options.quick else JOBS
    counts = QUICK if options.quick else COUNTS
    table = Table(f"{count} jobs of either kind", COLUMNS)
    with Workers(bench, counts[0], lambda bench, jobs: labels.add(bench, jobs, 1)) as workers:
        for number in counts:
            options.say(f"workers: {number}")
            workers.keep(number)
            batch = labels.add(bench, count, 1)
            workers.wait(batch, "gather", 0)
            label = times(bench, batch, "label")
            with workers.resting():
                batch = add_empty(bench, count)
            workers.wait(batch, "subtotal", *range(count))
            empty = times(bench, batch, "subtotal")
            each = [1e3 * label.overhead / count, 1e3 * (empty.overhead + empty.body) / count]
            table.rows.insert(0, [number, label.rate, each[0], empty.rate, each[1]])
    return Section("Workers", TEXT.replace("\n", " "), [table])


def add_empty(bench: Bench, count: int) -> Batch:
    """Put jobs on the launchpad that have nothing to sum up, each in its own workflow."""
    iteration = bench.next_iteration()
    jobs = [
        SubtotalMaker().make(IterationContext(NAME, iteration), batch=number, batches=[])
        for number in range(count)
    ]
    batches = [bench.add(iteration, Flow([job])) for job in jobs]
    return batches[0]
