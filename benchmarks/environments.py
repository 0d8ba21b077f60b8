"""What it costs that a model is in a process of another environment: SevenNet-0 in both."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

from ase.build import bulk

from benchmarks.report import Section, Table
from benchmarks.timing import Options
from entropy_flows.batch import Batch
from entropy_flows.potentials import load_batch_model, with_arguments
from entropy_flows.potentials.in_environment import EnvironmentModel

MODEL = "SevenNet-0"
CASES = ((1, 16), (1, 64), (32, 16))
"""Cells in a batch, and atoms in a cell."""
TEXT = """\
A step of SevenNet-0 for rattled silicon, in this Python and in a process of an environment (this
Python's own, so that both have the same packages). Times are CPU seconds of this process and of the
model's together, the best of turns taken one after the other; so they have the neighbour search,
which this process makes in both cases, the messages, and the copies of arrays. The last column is
the largest difference of an energy, a force or a stress."""


def run(options: Options) -> Section:
    """One cell and 32, here and in the environment."""
    here = load_batch_model(MODEL, options.device)
    there = load_batch_model(with_arguments(MODEL, {"environment": sys.prefix}), options.device)
    assert isinstance(there, EnvironmentModel)
    columns = [
        "cells",
        "atoms in each",
        "here, s",
        "in the environment, s",
        "cost, %",
        "difference",
    ]
    table = Table("A step here and in an environment", columns)
    for count, atoms in CASES[:1] if options.quick else CASES:
        options.say(f"environments: {count} × {atoms} atoms")
        batch = crystals(count, atoms, options.device)
        times = options.compete(
            {
                "here": turn(lambda batch=batch: here(batch), there),
                "there": turn(lambda batch=batch: there(batch), there),
            },
            seconds=20.0,
        )
        first, second = here(batch), there(batch)
        difference = max(
            float((getattr(first, name) - getattr(second, name)).abs().max())
            for name in ("energy", "forces", "stress")
        )
        cost = 100 * (times["there"] / times["here"] - 1)
        table.rows.append([count, atoms, times["here"], times["there"], cost, difference])
    return Section("Models in environments of their own", TEXT.replace("\n", " "), [table])


def crystals(count: int, atoms: int, device: str) -> Batch:
    """Rattled diamond cells of silicon."""
    cells = []
    for index in range(count):
        cell = bulk("Si", cubic=True) * ((1, 1, 2) if atoms == 16 else (2, 2, 2))
        cell.rattle(0.1, seed=index)
        cells.append(cell)
    return Batch.of(cells, device)


def turn(work: Callable[[], object], model: EnvironmentModel) -> Callable[[float], float]:
    """Contestant whose clock is the CPU time of this process and of a model's."""

    def clock() -> float:
        return time.process_time() + cpu_seconds(model.process.pid)

    def spend(seconds: float) -> float:
        best, end = float("inf"), time.perf_counter() + seconds
        while time.perf_counter() < end or best == float("inf"):
            begun = clock()
            work()
            best = min(best, clock() - begun)
        return best

    return spend


def cpu_seconds(pid: int | None) -> float:
    """CPU time of all threads of another process."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9
