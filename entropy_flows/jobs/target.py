"""What an iteration's choice is made for: cells of plain dynamics, of the pool, or of a file.

Each iteration has a target of its own, since plain dynamics are those of the present model. It is
stored before anything is chosen, so that the choice can be made again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from ase import Atoms

from entropy_flows.entropy import CellMeans, VarianceStatistics
from entropy_flows.fingerprints import Fingerprint
from entropy_flows.frames.pool import FramePool
from entropy_flows.jobs.context import IterationContext
from entropy_flows.schemas import RunDoc
from entropy_flows.select import TargetSelector
from entropy_flows.select.targets import PLAIN, POOL
from entropy_flows.store import Ledger
from entropy_flows.store.target import TargetCells

MAX_TARGET_CELLS = 2000
"""Cells of a target; of more, so many are drawn at random."""
TARGET_STREAM = 1_000_081
"""Separates the draw of a target from the iteration's other random streams."""
FINGERPRINT_BATCH = 256
"""Cells whose fingerprints are computed in one call."""


class Snapshot(NamedTuple):
    """A cell of the pool, before its fingerprints are computed."""

    key: str
    run: RunDoc
    step: int
    atoms: Atoms

    @property
    def is_plain(self) -> bool:
        """Return whether it is of dynamics without a bias."""
        return self.run.k == 0 and self.run.source is None


def target_variance(
    ledger: Ledger,
    context: IterationContext,
    selector: TargetSelector,
    pool: Sequence[Snapshot],
    budget: int | None,
) -> VarianceStatistics:
    """Return what the data set leaves unknown of an iteration's target, which is stored first.

    Parameters
    ----------
    ledger
        The data set.
    context
        Constants of the iteration.
    selector
        The selector, with its target.
    pool
        The iteration's candidates.
    budget
        Labels of this iteration; None for no limit.

    Raises
    ------
    ValueError
        If the target has no cells, and no iteration before has a target.
    """
    iteration = context.iteration
    stream = np.random.default_rng([context.seed, iteration, TARGET_STREAM])
    cells = _cells(selector, pool, stream)
    if cells:
        target = _with_share_of_pool(cells, selector, pool, ledger.fingerprint, stream)
        settings = {
            "landmarks": selector.n_landmarks(budget),
            "length": selector.length,
            "by_size": selector.by_size,
            "noise": selector.noise,
        }
        facts = {"kind": selector.target or PLAIN, "mix": selector.mix}
        ledger.save_target(iteration, target, settings, **facts)
    variance = ledger.variance(iteration, "select")
    if variance is None:
        raise ValueError(
            "select.target 'plain' is made of the snapshots of runs at k = 0, and there are none: "
            "add 0 to explore.entropy_weights, or see why these runs ended"
        )
    return variance


def _cells(
    selector: TargetSelector, pool: Sequence[Snapshot], stream: np.random.Generator
) -> list[Atoms]:
    """Return the cells of the target, drawn where there are many."""
    if selector.target_file is not None:
        frames = FramePool.of(selector.target_file)
        numbers = _drawn(len(frames), stream)
        return [atoms for _, atoms in frames.cells(set(numbers))]
    is_pool = selector.target == POOL
    members = [snapshot.atoms for snapshot in pool if is_pool or snapshot.is_plain]
    return [members[index] for index in _drawn(len(members), stream)]


def _drawn(total: int, stream: np.random.Generator, limit: int = MAX_TARGET_CELLS) -> list[int]:
    """Draw indices of at most so many cells, in ascending order."""
    if total <= limit:
        return list(range(total))
    drawn: list[int] = np.sort(stream.choice(total, limit, replace=False)).tolist()
    return drawn


def _with_share_of_pool(
    cells: Sequence[Atoms],
    selector: TargetSelector,
    pool: Sequence[Snapshot],
    fingerprint: Fingerprint,
    stream: np.random.Generator,
) -> TargetCells:
    """Return the target's cells with their means, and the pool's share among them."""
    means = _means(cells, fingerprint)
    others: list[Atoms] = []
    if selector.mix:
        count = max(1, round(len(cells) * selector.mix / (1 - selector.mix)))
        others = [pool[index].atoms for index in _drawn(len(pool), stream, count)]
    share = _means(others, fingerprint) if others else None
    mixed, weights = selector.mixed(means, share)
    return TargetCells([*cells, *others], mixed, weights)


def _means(cells: Sequence[Atoms], fingerprint: Fingerprint) -> CellMeans:
    """Compute the mean fingerprints of cells."""
    prints: list[np.ndarray] = []
    for start in range(0, len(cells), FINGERPRINT_BATCH):
        batch = fingerprint(cells[start : start + FINGERPRINT_BATCH])
        prints += [q.mean(axis=0, keepdims=True) for q in batch]
    means = CellMeans.of(prints)
    return means._replace(sizes=np.array([len(atoms) for atoms in cells], dtype=float))
