"""Least posterior variance: the candidate that leaves least unknown of a stated target.

    score(c) = V(D) − V(D ∪ c),    the gain of `entropy.variance_statistics`                     (1)

log det Σ rewards the edge of what was explored, and a test drawn from anywhere else pays for it. V
asks for the opposite: what of the *target* is unknown, on average over it. A candidate is worth
much where many cells of the target are near and none was taken yet.

After a cell is taken, with y, z and t = yᵀ T y of `TargetVariance.add`, and a = φ·y, b = φ·z,

    u ← u − a²,        g ← g − 2 a b + a² t,        gain = g / (σ²/w + u)                        (2)

for all cells at once: one product of their features with two vectors.

=======  ==========================================================================================
symbol   meaning
=======  ==========================================================================================
φ, w     features (m,) and weight of a cell
u, g     φᵀ P φ and φᵀ P T P φ of each cell
=======  ==========================================================================================
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from entropy_flows.conventions import Array
from entropy_flows.entropy import CellMeans, VarianceStatistics
from entropy_flows.select.cell_table import CellTable, TakenPoints
from entropy_flows.select.targeted import TargetSelector


class GainTable(CellTable):
    """Gains of some cells, the largest first, equation (2)."""

    def __init__(
        self, statistics: VarianceStatistics, cells: CellMeans, taken: TakenPoints
    ) -> None:
        super().__init__(statistics, cells, taken)
        features = self.columns.T
        self._numerators = statistics.variance.numerators(features)
        self._denominators = statistics.variance.denominators(features, self.weights)

    def scores(self) -> Array:
        """Return the gains (n,)."""
        gains: Array = np.maximum(self._numerators, 0.0) / self._denominators
        return gains

    def enter(self, feature: Array, weight: float) -> None:
        """Let a cell into the data set, and renew the others' gains."""
        y, z, square = self.statistics.take(feature, weight)
        a, b = np.array([y, z]) @ self.columns
        self._denominators -= a**2
        self._numerators += a**2 * square - 2 * a * b


class VarianceSelector(TargetSelector):
    """Accept what leaves the target best known on average, and no copies."""

    table: ClassVar[type[CellTable]] = GainTable

    selector: str = "variance"
    smallest_gain: float = Field(0.0, ge=0, lt=1)
    """Smallest gain worth a label, as a share of all there is to learn; 0 spends the budget."""

    @property
    def threshold(self) -> float:
        """The smallest gain, or −∞ if there is no such limit."""
        return self.smallest_gain or -np.inf

    def too_little(self, left: int, score: float) -> str:
        """Return the best gain that is left."""
        return (
            f"the best of the {left} candidates left takes {100 * score:.2g} % off what "
            f"is unknown, no more than {100 * self.smallest_gain:g} %"
        )
