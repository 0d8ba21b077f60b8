"""Let a selector with a target decide on a pool of any length, in constant memory."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator

import numpy as np

from entropy_flows.entropy import Mode, SufficientStatistics, VarianceStatistics
from entropy_flows.frames.fingerprinted import DataSetSummary, FingerprintBatch
from entropy_flows.frames.judge import Judgement, NewFrames, judge_candidates
from entropy_flows.frames.mean_candidates import MeanCandidates
from entropy_flows.select import Candidate, TargetSelector
from entropy_flows.select.cell_table import TakenPoints, finalists
from entropy_flows.select.selector import DataSet


def judge_in_blocks(
    selector: TargetSelector,
    batches: Iterable[FingerprintBatch],
    dataset: DataSetSummary,
    n: int,
    total: int,
    seed: int,
    variance: VarianceStatistics,
) -> Judgement:
    """Judge a pool in blocks, each of which proposes some frames to choose from.

    Parameters are those of `judge_in_one_pass`, and what the data set leaves unknown of the target.
    """
    judgement = Judgement()
    new_frames = NewFrames(judgement, dataset, total, seed)
    numbers = array("q")

    def stream() -> Iterator[Candidate]:
        for batch in batches:
            new, prints, means = new_frames.of(batch)
            numbers.extend(new)
            for q, mean in zip(prints, means, strict=True):
                yield Candidate("", mean[None], "config", None, len(q))

    taken = TakenPoints(variance.basis.points(dataset.means))
    indices, cells = finalists(stream(), total, variance, taken, n, selector.table)
    candidates = MeanCandidates(len(indices))
    if len(indices):
        chosen_numbers = [numbers[index] for index in indices.tolist()]
        candidates.add(chosen_numbers, cells.means, cells.sizes.astype(int).tolist())
    candidates.shuffle(np.random.default_rng([seed, total]))
    statistics: dict[Mode, SufficientStatistics] = {"config": dataset.statistics["config"].copy()}
    centres = dataset.means if len(dataset) else None
    judge_candidates(judgement, selector, candidates, DataSet(statistics, centres, variance), n)
    return judgement
