"""Let a selector decide on a pool that is not in memory.

Gains are of the mean fingerprints (mode "config"): ΔH of the covariance over cells.

A selector that reads candidates once judges them batch by batch and needs the memory of one batch.
A budget N would be spent on the first frames, so it is handed out over the whole pool: of N frame
numbers drawn at random, each that has gone by allows one more choice,

    accepted so far ≤ #{drawn numbers ≤ last number of the batch}                               (1)

For `random` that is a draw without replacement. Any other selector has the mean fingerprints of all
frames, in single precision, and sees them in a random order. One with a target takes a sample of a
large pool for it, and reads the pool in blocks (`blocks`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from entropy_flows.conventions import Array
from entropy_flows.entropy import CellMeans, Mode, SufficientStatistics
from entropy_flows.frames.fingerprinted import CopyFinder, DataSetSummary, FingerprintBatch
from entropy_flows.frames.mean_candidates import MeanCandidates
from entropy_flows.frames.target import reads_in_blocks, statistics_for
from entropy_flows.select import Candidate, DecisionStream, Selector, TargetSelector, Verdict
from entropy_flows.select.selector import DataSet
from entropy_flows.select.targeted import sample_of

SAMPLE_SIZE = 10_000
"""Frames whose mean fingerprints stand for the pool where its coverage is measured."""


@dataclass
class Judgement:
    """Numbers of the chosen frames and their gains, in the order of choosing.

    Attributes
    ----------
    numbers, gains
        Of each chosen frame.
    copies
        Numbers of the frames that are in the data set already.
    sample
        Number → mean fingerprint (dim,) of up to `SAMPLE_SIZE` frames.
    n_usable
        Frames that could have been chosen.
    unknown
        Share of the target that is not known, before and after; None without a target.
    reason
        Why fewer were chosen than asked for.
    """

    numbers: list[int] = field(default_factory=list)
    gains: list[float] = field(default_factory=list)
    copies: list[int] = field(default_factory=list)
    sample: dict[int, Array] = field(default_factory=dict)
    n_usable: int = 0
    unknown: tuple[float, float] | None = None
    reason: str = ""

    def accept(self, decisions: DecisionStream) -> None:
        """Take in what a selector decides; keys of candidates are numbers of frames."""
        for decision in decisions:
            if decision.verdict is Verdict.ACCEPTED:
                self.numbers.append(int(decision.candidate.key))
                self.gains.append(decision.gain)
        self.reason = decisions.reason


class NewFrames:
    """Batches without copies of the data set; what goes by is counted and sampled."""

    def __init__(self, judgement: Judgement, dataset: DataSetSummary, total: int, seed: int):
        self._judgement = judgement
        self._copies = CopyFinder(dataset.means)
        stream = np.random.default_rng([seed, total, 1])
        size = min(SAMPLE_SIZE, total)
        self._sampled = set(stream.choice(total, size, replace=False).tolist())

    def of(self, batch: FingerprintBatch) -> tuple[list[int], list[Array], Array]:
        """Return numbers, fingerprints and mean fingerprints (n, dim) of the new frames."""
        if not batch.numbers:
            return [], [], np.empty((0, 0))
        means = np.array([q.mean(axis=0) for q in batch.prints])
        are_copies = self._copies.are_copies(means)
        for number, mean, is_copy in zip(batch.numbers, means, are_copies, strict=True):
            if number in self._sampled:
                # a row alone would keep the means of its whole batch
                self._judgement.sample[number] = mean.copy()
            if is_copy:
                self._judgement.copies.append(number)
        new = np.flatnonzero(~are_copies).tolist()
        self._judgement.n_usable += len(new)
        numbers = [batch.numbers[index] for index in new]
        return numbers, [batch.prints[index] for index in new], means[new]


def judge_in_one_pass(
    selector: Selector,
    batches: Iterable[FingerprintBatch],
    dataset: DataSetSummary,
    n: int,
    total: int,
    seed: int,
) -> Judgement:
    """Judge a pool batch by batch, equation (1).

    Parameters
    ----------
    selector
        One that reads candidates once.
    batches
        Fingerprints of the pool.
    dataset
        Cells that are there already.
    n
        Frames to choose.
    total
        Frames of the pool.
    seed
        Seed of the order within a batch, and of the numbers drawn.
    """
    judgement = Judgement()
    new_frames = NewFrames(judgement, dataset, total, seed)
    stream = np.random.default_rng([seed, total])
    drawn = np.sort(stream.choice(total, min(n, total), replace=False))
    statistics: dict[Mode, SufficientStatistics] = {"config": dataset.statistics["config"].copy()}
    for batch in batches:
        numbers, prints, _ = new_frames.of(batch)
        last = batch.numbers[-1] if batch.numbers else -1
        budget = int(np.searchsorted(drawn, last, side="right")) - len(judgement.numbers)
        if budget <= 0 or not numbers:
            continue
        candidates = [
            Candidate(str(numbers[index]), prints[index], "config")
            for index in stream.permutation(len(numbers)).tolist()
        ]
        judgement.accept(DecisionStream(selector(candidates, statistics, budget)))
    judgement.reason = too_few(judgement, selector, n)
    return judgement


def judge_all(
    selector: Selector,
    batches: Iterable[FingerprintBatch],
    dataset: DataSetSummary,
    n: int,
    total: int,
    seed: int,
    target: CellMeans | None = None,
) -> Judgement:
    """Judge a pool with the mean fingerprints of all frames at hand.

    Parameters are those of `judge_in_one_pass`, and the target's cells where a file has them.
    """
    judgement = Judgement()
    new_frames = NewFrames(judgement, dataset, total, seed)
    candidates = MeanCandidates(total)
    for batch in batches:
        numbers, prints, means = new_frames.of(batch)
        candidates.add(numbers, means, [len(q) for q in prints])
    candidates.shuffle(np.random.default_rng([seed, total]))
    statistics: dict[Mode, SufficientStatistics] = {"config": dataset.statistics["config"].copy()}
    centres = dataset.means if selector.needs_centres and len(dataset) else None
    if not len(candidates):
        judgement.reason = too_few(judgement, selector, n)
        return judgement
    variance = None
    if isinstance(selector, TargetSelector):
        variance = statistics_for(selector, target, sample_of(candidates), dataset, n)
    judge_candidates(judgement, selector, candidates, DataSet(statistics, centres, variance), n)
    return judgement


def judge_candidates(
    judgement: Judgement,
    selector: Selector,
    candidates: MeanCandidates,
    dataset: DataSet,
    n: int,
) -> None:
    """Let a selector decide on candidates at hand, beside a data set that grows with them."""
    variance = dataset.variance
    before = None if variance is None else variance.value()
    decisions = selector(candidates, dataset.statistics, n, dataset.centres, variance)
    judgement.accept(DecisionStream(decisions))
    if variance is not None and before is not None:
        judgement.unknown = (before, variance.value())
    judgement.reason = judgement.reason or too_few(judgement, selector, n)


def too_few(judgement: Judgement, selector: Selector, n: int) -> str:
    """Return why fewer than n were chosen; "" if they were not."""
    count = len(judgement.numbers)
    if count == n:
        return ""
    if count == judgement.n_usable:
        return f"all {count} frames that are new were taken, {n} were wanted"
    return f"{selector.selector} took {count} of {judgement.n_usable} new frames, {n} were wanted"


def bytes_needed(selector: Selector, total: int, dim: int) -> int:
    """Return the memory that a selector needs for a whole pool: 0 if it keeps none of it."""
    if selector.is_one_pass or reads_in_blocks(selector, total):
        return 0
    # single precision here, double precision in the selector
    return total * dim * (4 + 8)


def entropies(statistics: Mapping[Mode, SufficientStatistics]) -> dict[Mode, float]:
    """Return log det Σ by mode."""
    return {mode: stats.entropy() for mode, stats in statistics.items()}
