"""A thousand label jobs, one label each: all in one workflow, and in chunks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import fireworks.core.launchpad as fireworks_launchpad

from benchmarks.report import Section, Table
from benchmarks.scaling import labels
from benchmarks.scaling.bench import Bench
from benchmarks.scaling.measure import KB, largest
from benchmarks.timing import Options
from entropy_flows.jobs import label as stage

LABELS, QUICK = 1000, 200
TIMED = 12
"""Jobs that are run of each layout; nobody waits for the others."""
TEXT = f"""\
Label jobs of one label each, as the planning job adds them: in chunks of {stage.FAN_OUT}, and as
they would be without chunks. One worker in this process plans and then does {TIMED} of the label
jobs. Plan: seconds until all jobs are there. Overhead: what FireWorks, jobflow and the database
take of a job. Locked: how long of that the workflow's lock is held, when no other worker can
start or end a job of the same workflow, so that no number of workers does more jobs a second
than "at most". Launch: the planning job's, which has in it what it adds to its own workflow."""
COLUMNS = [
    "layout",
    "workflows",
    "plan, s",
    "overhead, ms a job",
    "locked, ms a job",
    "at most, jobs/s",
]


def run(options: Options, folder: Path) -> Section:
    """Both layouts, a database each."""
    count = QUICK if options.quick else LABELS
    table = Table(f"{count} label jobs", [*COLUMNS, "workflow, kB", "launch, kB"])
    for layout, fan_out in (("one workflow", count), (f"chunks of {stage.FAN_OUT}", stage.FAN_OUT)):
        options.say(f"fanout: {layout}")
        with patch.object(stage, "FAN_OUT", fan_out):
            table.rows.append(
                [layout, *numbers(Bench(folder, f"fan_out_{fan_out}"), count, -(-count // fan_out))]
            )
    return Section("Fan-out", TEXT.replace("\n", " "), [table])


def numbers(bench: Bench, count: int, workflows: int) -> list[Any]:
    """What a row says of a layout."""
    labels.add(bench, 1, 1)
    for _ in ("plan", "label", "gather"):  # first ones import
        bench.run_here()
    batch = labels.add(bench, count, 1)
    plan = bench.run_here()
    with locks_timed() as locked:
        started = time.perf_counter()
        for _ in range(TIMED):
            bench.run_here()
        wall = time.perf_counter() - started
    (document,) = (doc for doc in bench.store.iterations() if doc["iteration"] == batch.iteration)
    body = sum(
        seconds for place, seconds in document["seconds"].items() if place.startswith("label/")
    )
    overhead, held, weigh = (wall - body) / TIMED, sum(locked) / TIMED, largest(bench, batch)
    return [
        workflows,
        plan,
        1e3 * overhead,
        1e3 * held,
        workflows / held,
        weigh["workflow"] / KB,
        weigh["launch"] / KB,
    ]


@contextmanager
def locks_timed() -> Iterator[list[float]]:
    """Seconds for which this process has held a workflow's lock, each time that it did."""
    held: list[float] = []

    class Timed(fireworks_launchpad.WFLock):
        def __enter__(self) -> None:
            super().__enter__()
            self.since = time.perf_counter()

        def __exit__(self, *reason: Any) -> None:
            super().__exit__(*reason)
            held.append(time.perf_counter() - self.since)

    with patch.object(fireworks_launchpad, "WFLock", Timed):
        yield held
