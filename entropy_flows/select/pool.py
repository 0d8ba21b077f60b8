"""Selectors on a fixed pool: the cells at hand are the candidates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from entropy_flows.entropy import MODES, CellMeans, Mode, SufficientStatistics
from entropy_flows.select.base import Candidate, DecisionStream, Verdict
from entropy_flows.select.selector import Selector
from entropy_flows.select.targeted import TargetSelector

POOL_SELECTOR = "variance"
"""Selector of frames that are given, unless another is named: the best of docs/evidence/pools.md.
"""


@dataclass(frozen=True)
class Choice:
    """The cells that were chosen of a pool."""

    indices: list[int]
    """Indices in the pool, in the order of choosing."""
    reason: str
    """Reason why they are fewer than asked for; "" if they are not."""


def choose(
    selector: Selector,
    prints: Sequence[np.ndarray],
    n: int,
    seed: int,
    regularization: float = 1e-3,
    per_atom_fraction: float = 0.6,
    in_dataset: Sequence[int] = (),
    uncertainty: np.ndarray | None = None,
    target: CellMeans | None = None,
) -> Choice:
    """Choose cells from a pool.

    Parameters
    ----------
    selector
        Any selector; it sees the pool in a random order.
    prints
        Fingerprints of the pool's cells, (n_atoms, dim) each.
    n
        Number of cells to choose.
    seed
        Seed of the order and of the candidates' covariance modes.
    regularization
        λ of the covariance.
    per_atom_fraction
        Chance that a cell is judged in per-atom mode.
    in_dataset
        Indices of cells that are in the data set already: the others are the candidates.
    uncertainty
        Uncertainties of all cells (n_cells,), for selectors that go by them.
    target
        Cells that a selector with a target chooses for; None takes the candidates.

    Raises
    ------
    ValueError
        If the pool has fewer than n cells left, or the selector needs uncertainties and none are
        given.
    """
    left = np.setdiff1d(np.arange(len(prints)), in_dataset)
    if n > len(left):
        rest = f"{len(left)} of them left" if len(in_dataset) else "all to choose from"
        raise ValueError(f"the pool has {len(prints)} cells, {rest}; {n} are wanted")
    rng = np.random.default_rng([seed, len(left)])
    order = left[rng.permutation(len(left))].tolist()
    draws = rng.random(len(left))
    modes: list[Mode] = ["atom" if draw < per_atom_fraction else "config" for draw in draws]
    spread = [None] * len(prints) if uncertainty is None else uncertainty.tolist()
    candidates = [
        Candidate(str(index), prints[index], mode, spread[index])
        for index, mode in zip(order, modes, strict=True)
    ]
    dim = prints[0].shape[1]
    statistics = {mode: SufficientStatistics(dim, regularization, mode) for mode in MODES}
    for index in in_dataset:
        for stats in statistics.values():
            stats.add(prints[index])
    centres = CellMeans.of([prints[index] for index in in_dataset])
    variance = None
    if isinstance(selector, TargetSelector) and (target is not None or not selector.is_for_others):
        pool = CellMeans.of([candidate.q for candidate in candidates])
        variance = selector.statistics(pool if target is None else target, pool, n)
        variance.add_cells(centres)
    means = centres.means if len(in_dataset) else None
    decisions = DecisionStream(selector(candidates, statistics, n, means, variance))
    chosen = [order[each.index] for each in decisions if each.verdict is Verdict.ACCEPTED]
    return Choice(chosen, decisions.reason)
