"""What choosing costs: each selector on a large pool, in a process of its own."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.report import Section, Table
from benchmarks.timing import Options
from entropy_flows.bench.memory import Peak
from entropy_flows.entropy import MODES, SufficientStatistics
from entropy_flows.select import SELECTORS, Candidate, DecisionStream, make_selector

DIM, ATOMS, KNOWN = 200, 4, 500
PARAMS = {name: {"landmarks": 400} for name in ("variance", "herding")}
"""Selector → parameters other than its defaults."""
TEXT = """\
Seconds (wall clock) and peak memory of choosing among candidates of 4 atoms with d = 200, beside
a data set of 500 cells. Memory is what the process' rises by, above libraries and data set: the
pool makes each candidate when it is asked for, so what a selector keeps of it counts. Half of
the candidates are judged per atom, half per config. Uncertainties are there; what a committee
costs to evaluate does not count."""
NOTE = (
    "`logdet` judges one after the other and ends with the budget; θ is 10⁻³ for it and `greedy`. "
    "`variance` and `herding` have 400 landmarks."
)


class MadePool:
    """Make candidates when they are asked for, the same each time: decaying spectra of 50 kinds."""

    def __init__(self, count: int) -> None:
        rng = np.random.default_rng(1)
        self.count, self.fall = count, 3.0 / (1 + np.arange(DIM))
        self.kinds = rng.normal(size=(50, DIM))

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Candidate]:
        return (self[index] for index in range(self.count))

    def __getitem__(self, index: int) -> Candidate:
        rng = np.random.default_rng([7, index])
        q = self.fall * (1 + 0.3 * self.kinds[index % 50] + 0.1 * rng.normal(size=(ATOMS, DIM)))
        return Candidate(str(index), q, MODES[index % 2], float(rng.exponential()))


def run(options: Options) -> Section:
    """All selectors that can be run here."""
    count, picks = (5_000, 100) if options.quick else (100_000, 1_000)
    return Section(
        "Cost of selection", TEXT.replace("\n", " "), [measured(count, picks, options.say)]
    )


def measured(count: int, picks: int, say=print) -> Table:
    """A row for each selector."""
    columns = ["selector", "chosen", "seconds", "MiB"]
    table = Table(f"{picks:,} of {count:,} candidates, d = {DIM}", columns, note=NOTE)
    making = _probe("none", count, picks)
    table.rows.append(["(making the candidates once)", 0, *making[1:]])
    for name in SELECTORS.builtin:
        say(f"selection cost: {name}")
        table.rows.append([name, *_probe(name, count, picks)])
    return table


def _probe(name: str, count: int, picks: int) -> list[int | float | None]:
    """Chosen, seconds and MiB of a process; None where the selector's package is missing."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.selection_cost",
        "--one",
        name,
        "--candidates",
        str(count),
        "--picks",
        str(picks),
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[1])
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1]
        if "needs scikit-learn" in reason:
            return [None, None, None]
        raise RuntimeError(f"{' '.join(command)} failed: {reason}")
    chosen, seconds, mib = done.stdout.split()
    return [int(chosen), float(seconds), float(mib)]


def one(name: str, count: int, picks: int) -> None:
    """Measure one selector in this process, and print."""
    rng, pool = np.random.default_rng(0), MadePool(count)
    statistics = {mode: SufficientStatistics(DIM, mode=mode) for mode in MODES}
    known = [
        pool[int(index)].q + rng.normal(size=(ATOMS, DIM)) * 0.05 * pool.fall
        for index in rng.integers(count, size=KNOWN)
    ]
    for q in known:
        for stats in statistics.values():
            stats.add(q)
    for stats in statistics.values():
        stats.gain(known[0])
    centres = np.array([q.mean(axis=0) for q in known])
    selector = None if name == "none" else make_selector(name, **PARAMS.get(name, {}))
    with Peak() as peak:
        if selector is None:
            chosen = sum(1 for _ in pool) - count
        else:
            chosen = sum(
                each.verdict == "accepted"
                for each in DecisionStream(selector(pool, statistics, picks, centres))
            )
    print(chosen, peak.seconds, peak.mib)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.selection_cost", description=__doc__
    )
    parser.add_argument("--candidates", type=int, default=100_000)
    parser.add_argument("--picks", type=int, default=1_000)
    parser.add_argument(
        "--one", choices=("none", *SELECTORS.builtin), help="this selector, in this process"
    )
    given = parser.parse_args()
    if given.one:
        one(given.one, given.candidates, given.picks)
        return
    table = measured(given.candidates, given.picks)
    for row in [table.columns, *table.rows]:
        print(
            "  ".join(
                f"{value:>28.4g}" if isinstance(value, float) else f"{value!s:>28}" for value in row
            )
        )


if __name__ == "__main__":
    main()
