"""Kernel herding: samples whose mean follows the pool's mean in feature space.

    μ = (1/n) Σ_i φ(x_i)    over the pool
    next = argmax_x μ·φ(x) − (1/(t + 1)) Σ_{c ∈ D} φ(c)·φ(x),    t = |D|                         (1)

After t samples, |μ − (1/t) Σ φ(c)| falls as 1/t where random draws have 1/√t. With |φ| the same for
all, (1) is the sample that makes this distance least. Cells of the data set count among the
samples. (Chen, Welling and Smola, Proc. UAI 26, 109, 2010, eq. 6.)
"""

from __future__ import annotations

import numpy as np

from entropy_flows.conventions import Array
from entropy_flows.select.base import Pool
from entropy_flows.select.kernel import KernelSelector
from entropy_flows.select.ranking import Ranking
from entropy_flows.select.selector import DataSet, Scorer
from entropy_flows.select.space import COPY_DISTANCE


class HerdingSelector(KernelSelector):
    """Accept what keeps the data set's mean nearest to the pool's, and no copies."""

    selector: str = "herding"

    def scorer(self, candidates: Pool, dataset: DataSet, budget: int | None) -> Scorer:
        """Return the candidates by equation (1)."""
        return HerdingRanking(self, candidates, dataset, budget)


class HerdingRanking(Ranking):
    """A pool ranked by equation (1).

    Attributes
    ----------
    attraction
        μ·φ of each candidate (n,).
    repulsion
        Σ_{c ∈ D} φ(c)·φ of each candidate (n,).
    """

    def __init__(
        self, selector: HerdingSelector, candidates: Pool, dataset: DataSet, budget: int | None
    ) -> None:
        super().__init__(selector, candidates, dataset)
        points = self.space.points
        if not len(points):
            return
        basis = selector.basis(points, budget or len(points))
        self._features = basis.features(points)
        self.attraction: Array = self._features @ self._features.mean(axis=0)
        from_centres = basis.features(self.space.centres).sum(axis=0)
        self.repulsion: Array = self._features @ from_centres

    def best(self) -> tuple[int, float]:
        """Return number and score of the best candidate; −∞ if only copies are left."""
        scores = self.attraction - self.repulsion / (self.space.n_centres + 1)
        scores[~self._is_left | (self.space.nearest <= COPY_DISTANCE)] = -np.inf
        index = int(np.argmax(scores))
        return index, float(scores[index])

    def add(self, index: int) -> None:
        """Take a candidate off the ranking, and let it repel those like it."""
        super().add(index)
        self.repulsion = self.repulsion + self._features @ self._features[index]
