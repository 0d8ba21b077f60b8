"""What a choice among frames is made for: the pool itself, or the frames of another file."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from entropy_flows.entropy import CellMeans, VarianceStatistics
from entropy_flows.fingerprints import FingerprintBase
from entropy_flows.frames.fingerprinted import DataSetSummary, fingerprint_batches
from entropy_flows.frames.pool import FramePool, Progress
from entropy_flows.select import Selector, TargetSelector
from entropy_flows.select.cell_table import LARGEST_TABLE
from entropy_flows.select.targeted import SAMPLE_SIZE
from entropy_flows.select.targets import PLAIN

SAMPLE_STREAM = 2
"""Separates the draw of a target's frames from the other random streams."""


def reads_in_blocks(selector: Selector, total: int) -> bool:
    """Return whether a selector reads a pool of so many frames in blocks, and keeps none."""
    return isinstance(selector, TargetSelector) and total > LARGEST_TABLE


def sampled_means(
    pool: FramePool, fingerprint: FingerprintBase, seed: int, progress: Progress, title: str
) -> CellMeans:
    """Return the means of a pool's frames, of a large one of a sample drawn at random.

    Raises
    ------
    ValueError
        If no frame can be used.
    """
    total = len(pool)
    numbers = None
    if total > SAMPLE_SIZE:
        stream = np.random.default_rng([seed, total, SAMPLE_STREAM])
        numbers = set(stream.choice(total, SAMPLE_SIZE, replace=False).tolist())
    batches = [
        CellMeans.of(batch.prints)
        for batch in fingerprint_batches(pool, fingerprint, progress, title, numbers)
        if batch.prints
    ]
    if not batches:
        reason = f"; {pool.lines[0]}" if pool.lines else ""
        raise ValueError(f"none of {total} frames of the target can be used{reason}")
    return CellMeans.joined(batches)


def file_target(
    selector: Selector,
    fingerprint: FingerprintBase,
    seed: int,
    progress: Progress,
    species: Sequence[str] | None = None,
) -> CellMeans | None:
    """Read the frames of the file that a selector names as its target; None if it names none.

    Raises
    ------
    ValueError
        If the file cannot be read, or the target is a campaign's dynamics.
    """
    if not isinstance(selector, TargetSelector):
        return None
    if selector.target == PLAIN:
        raise ValueError(
            "target 'plain' is a campaign's dynamics at k = 0, which frames alone do not have; "
            "expected pool or a file"
        )
    if selector.target_file is None:
        return None
    pool = FramePool.of(selector.target_file, species)
    return sampled_means(pool, fingerprint, seed, progress, "reading the target")


def statistics_for(
    selector: TargetSelector,
    target: CellMeans | None,
    pool: CellMeans,
    dataset: DataSetSummary,
    n: int,
) -> VarianceStatistics:
    """Return what a data set leaves unknown of a target.

    Parameters
    ----------
    selector
        The selector, with the settings of the basis.
    target
        Cells of the target; None takes the pool.
    pool
        Cells of the pool, or a sample of them.
    dataset
        The data set.
    n
        Frames to choose.
    """
    statistics = selector.statistics(pool if target is None else target, pool, n)
    statistics.add_cells(CellMeans(dataset.means, dataset.sizes))
    return statistics
