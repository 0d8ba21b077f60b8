"""What a choice in blocks leaves unknown, beside a choice of the whole pool and a random one.

    python -m benchmarks.blocks

The pool is made up: 12 000 cells of three kinds in five groups, each wider than the one before.
Sorted, the groups come one after the other.
"""

from __future__ import annotations

import time

import numpy as np

from entropy_flows.entropy import MODES, CellMeans, SufficientStatistics
from entropy_flows.select import Candidate, DecisionStream, cell_table, make_selector

CELLS, DIM, LANDMARKS = 12_000, 40, 400
WIDTHS = (0.05, 0.2, 0.5, 1.0, 1.5)


def made_pool() -> CellMeans:
    """Make the cells, the narrow groups first."""
    rng = np.random.default_rng(0)
    fall = 3 / (1 + np.arange(DIM))
    kinds = np.random.default_rng(1).normal(size=(3, DIM)) * fall * 2
    widths = np.repeat(WIDTHS, CELLS // len(WIDTHS)) * rng.exponential(size=CELLS)
    noise = rng.normal(size=(CELLS, DIM)) * fall
    means = kinds[rng.integers(3, size=CELLS)] + widths[:, None] * noise
    return CellMeans(means, np.ones(CELLS))


def left(pool: CellMeans, picks: int, order: np.ndarray, in_blocks: bool) -> tuple[float, float]:
    """V after so many picks of the pool in an order, and CPU seconds."""
    cell_table.LARGEST_TABLE = 0 if in_blocks else CELLS
    selector = make_selector("variance", landmarks=LANDMARKS)
    unknown = selector.statistics(pool, None, picks)
    statistics = {mode: SufficientStatistics(DIM, mode=mode) for mode in MODES}
    cells = [Candidate(str(index), pool.means[index][None], "config") for index in order]
    start = time.process_time()
    for _ in DecisionStream(selector(cells, statistics, picks, None, unknown)):
        pass
    return unknown.value(), time.process_time() - start


def by_chance(pool: CellMeans, picks: int) -> float:
    """Mean V after random picks, of five draws."""
    values = []
    for seed in range(5):
        unknown = make_selector("variance", landmarks=LANDMARKS).statistics(pool, None, picks)
        drawn = np.random.default_rng(seed).permutation(CELLS)[:picks]
        unknown.add_cells(pool.take(drawn))
        values.append(unknown.value())
    return float(np.mean(values))


def main() -> None:
    pool = made_pool()
    as_sorted = np.arange(CELLS)
    shuffled = np.random.default_rng(2).permutation(CELLS)
    print("picks  whole            blocks, sorted            blocks, shuffled          random")
    for picks in (50, 200):
        whole, seconds = left(pool, picks, as_sorted, in_blocks=False)
        row = f"{picks:5d}  {whole:.4f} {seconds:5.1f} s  "
        for order in (as_sorted, shuffled):
            value, seconds = left(pool, picks, order, in_blocks=True)
            row += f"{value:.4f} ({100 * (value / whole - 1):+.2f} %) {seconds:5.1f} s  "
        chance = by_chance(pool, picks)
        print(f"{row}{chance:.4f} ({100 * (chance / whole - 1):+.1f} %)")


if __name__ == "__main__":
    main()
