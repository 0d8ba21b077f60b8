"""The filter over a stream of candidates: time and memory against their number."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.report import Section, Table
from benchmarks.timing import Options
from entropy_flows.entropy import MODES, Mode, SufficientStatistics
from entropy_flows.select import Candidate, LogDetSelector, Verdict

DIM, ATOMS = 200, 16
TEXT = f"""\
The sequential filter (θ_min 0.001) over candidates of {ATOMS} atoms with d = {DIM} that a
generator makes as they are asked for: random fingerprints whose components fall off as 1/(1 + j)
and whose spread differs from cell to cell. Everything accepted enters both statistics. Each row
is a process of its own, by the wall clock."""


def run(options: Options) -> Section:
    """Both modes, and pools of three sizes."""
    columns = [
        "mode",
        "candidates",
        "accepted",
        "seconds",
        "of them making candidates",
        "peak memory, MiB",
    ]
    table = Table("A stream through the filter", columns)
    sizes = {"config": (10_000, 100_000, 1_000_000), "atom": (10_000, 100_000)}
    for mode, counts in sizes.items():
        for count in counts[:1] if options.quick else counts:
            options.say(f"screen: {count:,} candidates per {mode}")
            command = [sys.executable, "-m", "benchmarks.screen", mode, str(count)]
            done = subprocess.run(
                command, capture_output=True, text=True, cwd=Path(__file__).parents[1], check=True
            )
            accepted, *numbers = done.stdout.split()
            table.rows.append([mode, count, int(accepted), *map(float, numbers)])
    return Section("Screening", TEXT.replace("\n", " "), [table])


def candidates(mode: Mode, count: int) -> Iterator[Candidate]:
    """A stream that is made a thousand at a time."""
    rng, fall = np.random.default_rng(0), 3 / (1 + np.arange(DIM))
    for start in range(0, count, 1000):
        spread = rng.choice([0.02, 0.1, 0.3], size=(1000, 1, 1))
        block = fall * (1 + spread * (rng.random((1000, ATOMS, DIM), dtype=np.float32) - 0.5))
        yield from (
            Candidate(f"{start + place}", q, mode) for place, q in enumerate(block[: count - start])
        )


def main(mode: Mode, count: int) -> None:
    """Print what was accepted, seconds, seconds of the generator alone, and peak memory."""
    begun, accepted = time.perf_counter(), 0
    statistics = {each: SufficientStatistics(DIM, mode=each) for each in MODES}
    for decision in LogDetSelector()(candidates(mode, count), statistics):
        accepted += decision.verdict is Verdict.ACCEPTED
    seconds, begun = time.perf_counter() - begun, time.perf_counter()
    for _ in candidates(mode, count):
        pass
    status = Path("/proc/self/status").read_text().splitlines()
    peak = int(next(line for line in status if line.startswith("VmHWM")).split()[1]) / 1024
    print(accepted, seconds, time.perf_counter() - begun, peak)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))  # type: ignore[arg-type]
