"""What each step costs on its own, in this process and on an otherwise idle server."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from fireworks import Firework, FWAction, FWorker, ScriptTask, Workflow

from benchmarks.report import Section, Table
from benchmarks.scaling.bench import Batch, Bench
from benchmarks.scaling.measure import KB, MIB, largest, sizes
from benchmarks.timing import Options
from entropy_flows.entropy import MODES, SufficientStatistics
from entropy_flows.label import engine_of, label_one
from entropy_flows.launch.fireworks_manager import FireWorksManager
from entropy_flows.launch.verify import verify
from entropy_flows.store import CampaignStore
from entropy_flows.train.dataset import write_extxyz

SIZES = (10, 100, 1000)
TIMED = 5
"""Jobs taken and ended of each workflow."""
LENGTHS = (24, 200)
"""Of the data set's fingerprints: the demo's and the paper's."""
ENTRIES, FEW = 1000, 100
ROUNDS = 3
TEXT = f"""\
FireWorks: one job frees n others, which one more waits for; the jobs do nothing. Data: {ROUNDS}
times {ENTRIES} cells of 16 atoms ({FEW} with --quick) are appended to a ledger, and the first
{ENTRIES} get labels; fingerprints of the demo's and of the paper's length d."""


def run(options: Options, folder: Path) -> Section:
    """Both tables."""
    return Section(
        "Units",
        TEXT.replace("\n", " "),
        [fan(options, folder), data(options, folder)],
        ["scaling.png"],
    )


def fan(options: Options, folder: Path) -> Table:
    """FireWorks' own cost, against the size of the workflow."""
    columns = [
        "jobs",
        "adding, s",
        "freeing them, s",
        "taking a job, ms",
        "ending it, ms",
        "workflow, kB",
    ]
    table = Table("FireWorks, jobs in one workflow", columns)
    for size in SIZES[:2] if options.quick else SIZES:
        options.say(f"units: a workflow of {size}")
        bench, workflow = Bench(folder, f"fan{size}"), fan_out(size)
        added = seconds(partial(bench.pad.add_wf, workflow))
        freed = take_and_end(bench)[1]
        took = [take_and_end(bench) for _ in range(TIMED)]
        each = [1e3 * sum(column) / TIMED for column in zip(*took, strict=True)]
        table.rows.append([size, added, freed, *each, largest(bench, Batch(0, 0))["workflow"] / KB])
    return table


def fan_out(size: int) -> Workflow:
    """One job, then so many, then one again."""
    first, *others, last = [Firework([ScriptTask.from_str("true")]) for _ in range(size + 2)]
    return Workflow([first, *others, last], {first: others} | dict.fromkeys(others, last))


def take_and_end(bench: Bench) -> tuple[float, float]:
    """Seconds for either."""
    started = time.perf_counter()
    _, launch_id = bench.pad.checkout_fw(FWorker("here"), str(bench.folder))
    taken = time.perf_counter() - started
    return taken, seconds(lambda: bench.pad.complete_launch(launch_id, FWAction()))


def data(options: Options, folder: Path) -> Table:
    """The ledger's and the labels' cost, for both lengths of the fingerprints."""
    columns = []
    unit_costs(Bench(folder, "first"), 2)  # compiles and imports
    for length in LENGTHS:
        options.say(f"units: data, d = {length}")
        columns.append(
            unit_costs(Bench(folder, f"d{length}", length), FEW if options.quick else ENTRIES)
        )
    rows = [[name, *(column[name] for column in columns)] for name in columns[0]]
    return Table("Data, per 1000 structures", ["", *(f"d = {length}" for length in LENGTHS)], rows)


def unit_costs(bench: Bench, count: int) -> dict[str, float]:
    """Seconds, and sizes, per 1000 structures."""
    store, ledger, scale = bench.store, bench.ledger, 1000 / count
    maker = bench.makers().label.engine
    engine_hash = engine_of(maker).hash
    cells = [bench.entries(iteration, count) for iteration in range(1, ROUNDS + 1)]
    appends = [
        scale * seconds(partial(ledger.append_accepted, n, "select", some))
        for n, some in enumerate(cells, 1)
    ]
    entries = list(ledger.entries(iteration=1))
    label = label_one(maker, cells[0][0].structure, bench.folder / "label").as_dict()
    found = {
        "append the first 1000, s": appends[0],
        f"append 1000 after {(ROUNDS - 1) * count}, s": appends[-1],
        "replay the covariances, s": scale * seconds(lambda: replay(bench, count)),
        "store labels, s": scale * seconds(lambda: add_labels(store, entries, engine_hash, label)),
        "read the training set, s": scale * seconds(store.frames),
        "verify, s": scale / ROUNDS * seconds(lambda: verify(store, FireWorksManager(bench.pad))),
    }
    tracemalloc.start()
    frames = store.frames()
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    file = bench.folder / "train.extxyz"
    found["write the training file, s"] = scale * seconds(
        lambda: write_extxyz(file, frames, [1.0] * len(frames))
    )
    found |= {
        "training set in memory, MiB": scale * held / MIB,
        "training file, MB": scale * file.stat().st_size / 1e6,
    }
    for name, collection in (
        ("fingerprints", ledger.fingerprints),
        ("structures", ledger.structures),
    ):
        found[f"{name}, MB"] = scale * sum(sizes(collection)) / ROUNDS / 1e6
    found["labels, MB"] = scale * sum(sizes(store.database["labels"])) / 1e6
    return found | {"covariance, kB": max(sizes(ledger.covariances)) / KB}


def add_labels(
    store: CampaignStore, entries: list[dict[str, Any]], engine_hash: str, label: dict[str, Any]
) -> None:
    """The same label for all entries."""
    for entry in entries:
        store.add_label(entry, engine_hash, label)


def replay(bench: Bench, count: int) -> None:
    """Fold the first fingerprints into both modes' statistics, from nothing."""
    ledger = bench.ledger
    for mode in MODES:
        statistics = SufficientStatistics(ledger.fingerprint.dim, ledger.regularization, mode)
        for q in ledger.fingerprints_between(0, count):
            statistics.add(q)


def seconds(work: Callable[[], object]) -> float:
    """How long it takes, once."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
