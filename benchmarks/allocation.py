"""What it is worth that a process keeps freed memory: page faults, time and memory, both ways."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.report import Section, Table
from benchmarks.timing import Options

ROOT = Path(__file__).parents[1]
BATCH = 32
WORKS = ("Si16, bias", "NaCl64, bias", "Si16, small Allegro eager, and bias")
WAYS = ("as glibc does", "kept")
TEXT = f"""\
Calls of S_local with forces and virial, alone or beside a model, for a batch of {BATCH} cells; each
in a process of its own, the two ways in turn. Time is the best call by the process's clock; page
faults are the mean of all calls but the first three. Memory is what is resident at the end, and the
most that was."""


def run(options: Options) -> Section:
    """Measure each work in both ways."""
    columns = ["work", "freed memory", "page faults a call", "CPU, ms a call", "MiB", "peak, MiB"]
    table = Table("Freed memory given back and kept", columns)
    for work in WORKS[:1] if options.quick else WORKS:
        options.say(f"allocation: {work}")
        rounds = [[in_process(work, way, options) for way in WAYS] for _ in range(2)]
        for way, *rows in zip(WAYS, *rounds, strict=True):
            best = min(rows, key=lambda row: row["ms"])
            numbers = [best["faults"], best["ms"], int(best["memory"]), int(best["peak"])]
            table.rows.append([work, way, *numbers])
    return Section("Freed memory", TEXT.replace("\n", " "), [table])


def in_process(work: str, way: str, options: Options) -> dict[str, Any]:
    """Measure in a new process."""
    calls = "8" if options.quick else "20"
    command = [sys.executable, "-m", "benchmarks.allocation", work, way, calls]
    environment = {key: value for key, value in os.environ.items() if "MALLOC" not in key.upper()}
    environment |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, check=True, env=environment, capture_output=True, text=True)
    row: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return row


def prepared(work: str) -> Callable[[], object]:
    """Return one of the works, ready to be called."""
    from benchmarks.cells import NACL64, QUICK
    from entropy_flows.batch import Batch
    from entropy_flows.entropy import LocalBias
    from entropy_flows.potentials import load_batch_model, locate_model

    case = NACL64 if work.startswith("NaCl") else QUICK[0]
    cells = case.cells(BATCH)
    batch = Batch.of(cells)
    bias = LocalBias(case.gom(cells))
    if "Allegro" not in work:
        return lambda: bias(batch, ["atom"] * BATCH)
    model = load_batch_model(locate_model("shipped:si-small.nequip.zip", Path()))
    return lambda: (model(batch), bias(batch, ["atom"] * BATCH))


def main(work: str, way: str, calls: str) -> None:
    """Measure a work in this process, and print what it took."""
    from entropy_flows.allocator import keep_freed_memory

    if way == "kept" and not keep_freed_memory():
        raise RuntimeError("this C library cannot be told to keep freed memory")
    call = prepared(work)
    for _ in range(3):
        call()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    times = []
    for _ in range(int(calls)):
        begun = time.process_time()
        call()
        times.append(time.process_time() - begun)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    row = {
        "faults": (usage.ru_minflt - before) / int(calls),
        "ms": 1e3 * min(times),
        "memory": pages * resource.getpagesize() / 2**20,
        "peak": usage.ru_maxrss / 1024,
    }
    print(json.dumps(row))


if __name__ == "__main__":
    main(*sys.argv[1:])
