"""Kernel herding: cells whose mean follows a target's mean in feature space.

    next = argmax_c μ·φ_c − S·φ_c / (n + 1)                                                      (1)

μ is the target's mean, S the sum over the n cells of the data set, both in the features of
`entropy.VarianceStatistics`. With |φ| the same for all this is the cell that brings the data set
nearest to the target. After n cells their distance falls as 1/n, where random draws have 1/√n.

A cell counts for as much of the target as it stands for, whatever its label may teach: what is
chosen is a sample of the target with less of a sample's chance. (Chen, Welling and Smola, Proc. UAI
26, 109, 2010, eq. 6.)
"""

from __future__ import annotations

from typing import ClassVar

from entropy_flows.conventions import Array
from entropy_flows.entropy import CellMeans, VarianceStatistics
from entropy_flows.select.cell_table import CellTable, TakenPoints
from entropy_flows.select.targeted import TargetSelector


class HerdingTable(CellTable):
    """Some cells, the largest score of equation (1) first."""

    def __init__(
        self, statistics: VarianceStatistics, cells: CellMeans, taken: TakenPoints
    ) -> None:
        super().__init__(statistics, cells, taken)
        self._attraction: Array = statistics.target.mean @ self.columns
        self._repulsion: Array = statistics.total @ self.columns

    def scores(self) -> Array:
        """Return the scores (n,)."""
        scores: Array = self._attraction - self._repulsion / (self.statistics.n + 1)
        return scores

    def enter(self, feature: Array, weight: float) -> None:
        """Let a cell into the data set, which then repels those like it."""
        self.statistics.append(feature, weight)
        self._repulsion = self._repulsion + feature @ self.columns


class HerdingSelector(TargetSelector):
    """Accept what keeps the data set's mean nearest to the target's, and no copies."""

    table: ClassVar[type[CellTable]] = HerdingTable

    selector: str = "herding"
