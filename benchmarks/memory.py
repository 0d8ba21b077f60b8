"""Peak memory, each number from a process of its own."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from pathlib import Path

import torch
from ase.build import bulk

from benchmarks.cells import C16, CASES
from benchmarks.gains import dataset, pool
from benchmarks.peers.autograd import autograd_surface
from benchmarks.report import Section, Table
from benchmarks.surface import surface
from benchmarks.timing import Options
from entropy_flows.fingerprints import GOM

TEXT = """\
Largest resident memory of a fresh process during one call, in MiB above what it held before it:
libraries loaded, cells built, one tiny call made."""


def run(options: Options) -> Section:
    """Surfaces and gains."""
    return Section("Memory", TEXT.replace("\n", " "), [surfaces(options), gains(options)])


def surfaces(options: Options) -> Table:
    """S_local with forces and virial."""
    table = Table(
        "S_local with forces and virial", ["cell", "r_c, Å", "one", "batch of 32", "autograd, one"]
    )
    for index, case in enumerate(CASES):
        if options.quick and case != C16:
            continue
        options.say(f"memory: {case.name}, r_c {case.cutoff} Å")
        peaks = [
            probe("surface", index, 1),
            probe("surface", index, 32),
            probe("autograd", index, 1),
        ]
        table.rows.append([case.name, case.cutoff, *peaks])
    return table


def gains(options: Options) -> Table:
    """A large pool."""
    count = 10_000 if options.quick else 100_000
    note = (
        "The candidates are views of 500 different ones, their list is there before: this is "
        "what the gains need."
    )
    table = Table(f"Gains of {count:,} candidates of 16 atoms, d = 200", ["mode", "MiB"], note=note)
    for mode in ("atom",) if options.quick else ("atom", "config"):
        options.say(f"memory: gains per {mode}")
        table.rows.append([mode, probe("gains", mode, count)])
    return table


def probe(*what: object) -> float:
    """Run this file in a process of its own; MiB."""
    command = [sys.executable, "-m", "benchmarks.memory", *map(str, what)]
    run = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[1])
    if run.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {run.stderr.strip().splitlines()[-1]}")
    return float(run.stdout)


def resident(field: str) -> int:
    """A line of /proc/self/status in bytes: VmRSS is the memory held, VmHWM its peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(field)).split()[1])


def main(kind: str, what: str, count: str) -> None:
    """Prepare, measure one call, print."""
    torch.set_num_threads(1)
    if kind == "gains":
        stats, candidates = dataset(200, what), pool(200, 500)
        some = [candidates[index % 500] for index in range(int(count))]
        stats.gains(some[:2])
        work = lambda: stats.gains(some)  # noqa: E731
    else:
        case = CASES[int(what)]
        cells = case.cells(int(count))
        gom = case.gom(cells)
        call = (
            surface
            if kind == "surface"
            else lambda gom, cells: [autograd_surface(gom, atoms) for atoms in cells]
        )
        call(GOM(cutoff=3.0, natx=5), [bulk("Si")])
        work = lambda: call(gom, cells)  # noqa: E731
    ctypes.CDLL(None).malloc_trim(0)  # what was freed is given back
    Path("/proc/self/clear_refs").write_text("5")  # and the peak starts anew
    before = resident("VmRSS")
    kept = work()
    print(max(resident("VmHWM") - before, 0) / 2**20)
    del kept


if __name__ == "__main__":
    main(*sys.argv[1:])
