"""Choose which frames of files to label, in one function and without a database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from entropy_flows.conventions import Array
from entropy_flows.entropy.basis import standardisation
from entropy_flows.evaluate.coverage import nearest_points
from entropy_flows.fingerprints import FingerprintBase
from entropy_flows.frames.blocks import judge_in_blocks
from entropy_flows.frames.choice import ChosenFrame, Coverage, FrameChoice, SourceCount, mark
from entropy_flows.frames.fingerprinted import (
    DataSetSummary,
    UnlistedElementsError,
    fingerprint_batches,
    frame_fingerprint,
    symbols_of,
)
from entropy_flows.frames.judge import (
    Judgement,
    bytes_needed,
    entropies,
    judge_all,
    judge_in_one_pass,
)
from entropy_flows.frames.pool import FramePool, Progress, Sources
from entropy_flows.frames.target import (
    file_target,
    reads_in_blocks,
    sampled_means,
    statistics_for,
)
from entropy_flows.select import SELECTORS, Selector, TargetSelector
from entropy_flows.select.pool import POOL_SELECTOR


def no_progress(title: str, done: int, total: int) -> None:
    """Tell nobody."""


def choose_frames(
    pool: Sources | FramePool,
    n: int,
    dataset: Sources | FramePool = (),
    selector: str | dict[str, Any] | Selector = POOL_SELECTOR,
    *,
    fingerprint: Any = None,
    seed: int = 42,
    regularization: float = 1e-3,
    species: Sequence[str] | None = None,
    progress: Progress = no_progress,
) -> FrameChoice:
    """Choose the frames of a pool that are worth a label, given the cells that have one.

    Parameters
    ----------
    pool
        Files, folders or patterns (`"runs/*/XDATCAR"`), or cells in memory; see `locate_files`.
    n
        Number of frames to choose.
    dataset
        Cells that are labelled already, in the same forms. Their copies in the pool are counted
        and not chosen.
    selector
        A selector, its name, or a mapping of its name and parameters. `logdet`, `random` and, of
        large pools, `variance` read the pool in constant memory; the others have the mean
        fingerprints of all frames.
    fingerprint
        See `frame_fingerprint`.
    seed
        Seed of the order in which frames are judged.
    regularization
        λ of the covariance.
    species
        Elements of the types 1, 2, … of LAMMPS dumps that do not name them.
    progress
        Called with what is done, how many frames have been read, and how many there are.

    Returns
    -------
    FrameChoice
        The frames in the order of choosing, and what they cover.

    Raises
    ------
    ValueError
        If there are no frames that can be used, or the selector needs a committee of models.

    Examples
    --------
    >>> choice = choose_frames("runs/*/XDATCAR", 200, dataset="train.extxyz")
    >>> choice.write("picked.extxyz")
    """
    if n < 1:
        raise ValueError(f"{n} frames are to be chosen; expected 1 or more")
    rule = pool_selector(selector)
    frames = pool if isinstance(pool, FramePool) else FramePool.of(pool, species)
    labelled = dataset if isinstance(dataset, FramePool) else FramePool.of(dataset, species)
    symbols = symbols_of(labelled.first_cells()) | symbols_of(frames.first_cells())
    if not symbols:
        raise ValueError(_nothing(frames))
    try:
        function = frame_fingerprint(fingerprint, symbols)
        return _choose(frames, labelled, n, rule, function, seed, regularization, progress, species)
    except UnlistedElementsError:
        if isinstance(fingerprint, FingerprintBase):
            raise
        progress("looking for elements", 0, len(frames))
        symbols = symbols_of(atoms for each in (labelled, frames) for _, atoms in each.cells())
        function = frame_fingerprint(fingerprint, symbols)
        return _choose(frames, labelled, n, rule, function, seed, regularization, progress, species)


def pool_selector(selector: str | dict[str, Any] | Selector) -> Selector:
    """Return a selector for a fixed pool.

    Raises
    ------
    ValueError
        If there is no such selector, or it needs a committee of models.
    """
    if isinstance(selector, Selector):
        rule = selector
    else:
        data = {"selector": selector} if isinstance(selector, str) else selector
        rule = SELECTORS.validate(data)
    if rule.needs_committee:
        raise ValueError(
            f"selector {rule.selector!r} needs a committee of models, which frames alone do not "
            f"have; take {POOL_SELECTOR}, kmeans, farthest, greedy, logdet or random"
        )
    rule.check()
    return rule


def _choose(
    pool: FramePool,
    labelled: FramePool,
    n: int,
    selector: Selector,
    fingerprint: FingerprintBase,
    seed: int,
    regularization: float,
    progress: Progress,
    species: Sequence[str] | None,
) -> FrameChoice:
    dataset = DataSetSummary.of(labelled, fingerprint, regularization, progress)
    judgement = _judgement(pool, dataset, n, selector, fingerprint, seed, progress, species)
    if not judgement.n_usable and not judgement.copies:
        raise ValueError(_nothing(pool))
    chosen = _read_chosen(pool, judgement)
    return FrameChoice(
        frames=chosen,
        sources=_counts(pool, judgement),
        dataset_size=len(dataset),
        reason=judgement.reason,
        selector=selector.selector,
        fingerprint=fingerprint,
        coverage=_coverage(chosen, judgement, dataset, fingerprint),
        unknown=judgement.unknown,
        left_out=[*labelled.unreadable, *labelled.lines, *pool.unreadable, *pool.lines],
        kept_bytes=bytes_needed(selector, len(pool), fingerprint.dim),
    )


def _judgement(
    pool: FramePool,
    dataset: DataSetSummary,
    n: int,
    selector: Selector,
    fingerprint: FingerprintBase,
    seed: int,
    progress: Progress,
    species: Sequence[str] | None,
) -> Judgement:
    """Have a selector judge the pool, in the way in which it reads it."""
    total = len(pool)
    target = file_target(selector, fingerprint, seed, progress, species)
    title = "fingerprints of the pool"
    if isinstance(selector, TargetSelector) and reads_in_blocks(selector, total):
        sample = sampled_means(pool, fingerprint, seed, progress, "a sample of the pool")
        variance = statistics_for(selector, target, sample, dataset, n)
        batches = fingerprint_batches(pool, fingerprint, progress, title)
        return judge_in_blocks(selector, batches, dataset, n, total, seed, variance)
    batches = fingerprint_batches(pool, fingerprint, progress, title)
    if selector.is_one_pass:
        return judge_in_one_pass(selector, batches, dataset, n, total, seed)
    return judge_all(selector, batches, dataset, n, total, seed, target)


def _nothing(pool: FramePool) -> str:
    """Return why a pool has no frames to choose from."""
    if not pool.sources:
        return "there are no frames: the pool is empty"
    if not pool.lines:
        list(pool.cells())
    first = f"; {pool.lines[0]}" if pool.lines else ""
    return f"none of {len(pool)} frames can be used{first}"


def _read_chosen(pool: FramePool, judgement: Judgement) -> list[ChosenFrame]:
    """Read the chosen frames again, with their labels."""
    cells = pool.labelled_cells(judgement.numbers)
    frames = []
    rows = zip(judgement.numbers, judgement.gains, cells, strict=True)
    for rank, (number, gain, atoms) in enumerate(rows, 1):
        position, index = pool.locate(number)
        frames.append(mark(atoms, pool.sources[position].name, index, rank, gain))
    return frames


def _counts(pool: FramePool, judgement: Judgement) -> list[SourceCount]:
    copies = Counter(pool.locate(number)[0] for number in judgement.copies)
    chosen = Counter(pool.locate(number)[0] for number in judgement.numbers)
    return [
        SourceCount(
            source.name,
            source.count,
            pool.unusable[source.name],
            copies[position],
            chosen[position],
        )
        for position, source in enumerate(pool.sources)
    ]


def _coverage(
    chosen: Sequence[ChosenFrame],
    judgement: Judgement,
    dataset: DataSetSummary,
    fingerprint: FingerprintBase,
) -> Coverage:
    """Compare what the data set covers without and with the choice."""
    prints = fingerprint([frame.atoms for frame in chosen])
    after = {mode: stats.copy() for mode, stats in dataset.statistics.items()}
    for q in prints:
        for stats in after.values():
            stats.add(q)
    dim = dataset.means.shape[1]
    points = np.array(list(judgement.sample.values())).reshape(-1, dim)
    means = np.array([q.mean(axis=0) for q in prints]).reshape(-1, dim)
    _, spread = standardisation(points)
    together = np.concatenate([dataset.means, means])
    return Coverage(
        entropy_before=entropies(dataset.statistics) if len(dataset) else None,
        entropy_after=entropies(after),
        points=points,
        dataset=dataset.means,
        chosen=means,
        before=_distances(points, dataset.means, spread),
        after=_distances(points, together, spread),
    )


def _distances(points: Array, centres: Array, spread: Array) -> Array | None:
    return nearest_points(points, centres, spread) if len(centres) else None
