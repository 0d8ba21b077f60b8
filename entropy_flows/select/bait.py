"""Forward and backward by posterior variance: more cells than wanted, then the least needed go.

    forward    add argmax_c V(D) − V(D ∪ c), until there are `oversampling` times as many as wanted
    backward   remove argmin_c V(D − c) − V(D), until there are as many as wanted                (1)

V is that of `entropy.variance`. To remove a cell raises it by

    V(D − c) − V(D) = φᵀ P T P φ / (σ²/w − φᵀ P φ),                                             (2)
    P ← P + y yᵀ,    y = P φ / √(σ²/w − φᵀ P φ)

with P of the data set that has the cell in it. BAIT has for V the trace of the inverse Fisher
information of a network's last layer times that of the pool, which is the same function of other
features. (Ash, Goel, Krishnamurthy and Kakade, Adv. Neural Inf. Process. Syst. 34, 8927, 2021,
algorithm 1.)
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from pydantic import Field

from entropy_flows.conventions import Array
from entropy_flows.entropy import CellMeans, VarianceStatistics
from entropy_flows.select.base import Pool
from entropy_flows.select.cell_table import blocks
from entropy_flows.select.ranking import InOrder, in_turn
from entropy_flows.select.selector import DataSet, Scorer
from entropy_flows.select.targeted import TargetRanking
from entropy_flows.select.variance import VarianceSelector


class BaitSelector(VarianceSelector):
    """Accept what is left of a choice of more cells, in the order of that choice."""

    selector: str = "bait"
    oversampling: float = Field(2.0, ge=1)
    """Cells of the forward choice, in units of those wanted."""

    def scorer(self, candidates: Pool, dataset: DataSet, budget: int | None) -> Scorer:
        """Return the cells that are left, in the order in which they were chosen."""
        n_cells = len(candidates) if budget is None else min(budget, len(candidates))
        statistics = dataset.variance.copy() if dataset.variance is not None else None
        ahead = TargetRanking(self, candidates, replace(dataset, variance=statistics), n_cells)
        chosen: list[int] = []
        while len(chosen) < self.oversampling * n_cells and (best := ahead.propose()) is not None:
            ahead.add(best.index)
            chosen.append(best.index)
        reason = ahead.why_none_left(len(chosen), budget) if len(chosen) < n_cells else ""
        if ahead.unknown is not None and len(chosen) > n_cells:
            (cells,) = blocks((candidates[index] for index in chosen), len(chosen))
            chosen = [chosen[row] for row in kept_rows(ahead.unknown, cells, n_cells)]
        return _Kept(candidates, chosen, reason, dataset.variance)


class _Kept(InOrder):
    """Cells in their order; each that is accepted enters the campaign's data set."""

    def __init__(
        self, pool: Pool, order: list[int], reason: str, unknown: VarianceStatistics | None
    ) -> None:
        super().__init__(in_turn(pool, order), reason)
        self._pool = pool
        self._unknown = unknown

    def add(self, index: int) -> None:
        """Take a candidate into the data set."""
        if self._unknown is not None:
            (cells,) = blocks([self._pool[index]], 1)
            self._unknown.add_cells(cells)


def kept_rows(statistics: VarianceStatistics, cells: CellMeans, n_cells: int) -> list[int]:
    """Return the rows of the cells that are left after the least needed went, equation (1).

    Parameters
    ----------
    statistics
        Data set with all of the cells in it; not changed.
    cells
        Those that may be removed.
    n_cells
        Number of cells to keep.
    """
    variance = statistics.variance
    features = statistics.basis.features(cells.means)
    limits = variance.noise / statistics.basis.weights(cells.sizes)
    covariance: Array = variance.covariance
    numerators = variance.numerators(features)
    uncertainties = np.einsum("nm,nm->n", features @ covariance, features)
    is_left = np.ones(len(features), dtype=bool)
    for _ in range(len(features) - n_cells):
        losses = np.where(is_left, numerators / (limits - uncertainties), np.inf)
        row = int(np.argmin(losses))
        is_left[row] = False
        y = covariance @ features[row] / np.sqrt(limits[row] - uncertainties[row])
        pulled = variance.target @ y
        a, b = (features @ np.column_stack([y, covariance @ pulled])).T
        numerators = numerators + 2 * a * b + a**2 * (y @ pulled)
        uncertainties = uncertainties + a**2
        covariance = covariance + np.outer(y, y)
    return np.flatnonzero(is_left).tolist()
