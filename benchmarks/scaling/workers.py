"""Jobs per second of several workers, and what a label costs the workers and the server."""

from __future__ import annotations

import os
from dataclasses import dataclass
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
SIZES = ((1, 40), (8, 12), (128, 4))
"""Labels a job, and jobs."""
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
COSTS = ["labels a job", "server, CPU-ms a label", "worker, CPU-ms a label", "two cores, labels/s"]
NOTE = """\
Two workers. Seconds of CPU, which do not depend on what else the machine does. Last columns: what
follows for workers with a core each, as a worker waits for the server, which is one process.
Two cores: 1 / (server + worker) times two. W workers: the smaller of W / (server + worker) and
1 / server."""
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Cost:
    """CPU time of a label (ms).

    Attributes
    ----------
    server
        Of the database server.
    worker
        Of the worker.
    """

    server: float
    worker: float

    def rate(self, workers: int) -> float:
        """Return labels per second of so many workers with a core each, and one for the server."""
        return 1e3 * min(workers / (self.server + self.worker), 1 / self.server)

    @property
    def two_cores(self) -> float:
        """Labels per second of two cores that do all."""
        return 2e3 / (self.server + self.worker)


def run(options: Options, folder: Path) -> Section:
    """Most workers first, since ending some is quicker than starting them."""
    bench, count = Bench(folder, "workers"), FEW if options.quick else JOBS
    counts = QUICK if options.quick else COUNTS
    table = Table(f"{count} jobs of either kind", COLUMNS)
    costs = Table("What a label costs", [*COSTS, *(f"{number} workers, labels/s" for number in
                                                   reversed(COUNTS))])  # fmt: skip
    costs.note = NOTE.replace("\n", " ")
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
            if number == 2:
                for size, jobs in SIZES[:2] if options.quick else SIZES:
                    options.say(f"workers: {jobs} jobs of {size}")
                    cost = cost_of_a_label(bench, workers, size, jobs)
                    rates = [cost.rate(number) for number in reversed(COUNTS)]
                    costs.rows.append([size, cost.server, cost.worker, cost.two_cores, *rates])
    return Section("Workers", TEXT.replace("\n", " "), [table, costs])


def cost_of_a_label(bench: Bench, workers: Workers, size: int, jobs: int) -> Cost:
    """Label cells in jobs of so many, and read the CPU times of server and workers."""
    with workers.resting():
        batch = labels.add(bench, size * jobs, size)
        bench.run_here()
    processes = [process.pid for process in workers.local.processes.values() if process is not None]
    before = cpu_ms([bench.server]), cpu_ms(processes)
    workers.wait(batch, "gather", 0)
    server = cpu_ms([bench.server]) - before[0]
    worker = cpu_ms(processes) - before[1]
    return Cost(server / (size * jobs), worker / (size * jobs))


def cpu_ms(processes: list[int]) -> float:
    """CPU time (ms) that processes and their ended children have taken."""
    total = 0
    for process in processes:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        total += sum(int(ticks) for ticks in fields[11:15])
    return 1e3 * total / TICKS


def add_empty(bench: Bench, count: int) -> Batch:
    """Put jobs on the launchpad that have nothing to sum up, each in its own workflow."""
    iteration = bench.next_iteration()
    jobs = [
        SubtotalMaker().make(IterationContext(NAME, iteration), batch=number, batches=[])
        for number in range(count)
    ]
    batches = [bench.add(iteration, Flow([job])) for job in jobs]
    return batches[0]
