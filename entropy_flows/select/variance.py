"""Least posterior variance: the candidate that leaves least unknown of the pool as a whole.

    score(c) = V(D) − V(D ∪ c),  the gain of `entropy.variance`, with the pool as the target     (1)

log det Σ rewards the edge of what was explored, and a test drawn from anywhere else pays for it. V
asks for the opposite: what of the *target* is unknown, on average over it. A candidate is worth
much where many cells of the target are near and none was taken yet.

After a pick with y, z and t = yᵀ T y of `TargetVariance.add`, with a = φ·y and b = φ·z,

    u ← u − a²,        g ← g − 2 a b + a² t,        gain = g / (σ²/w + u)                        (2)

for all candidates at once: one product of their features with two vectors a pick.

=======  ==========================================================================================
symbol   meaning
=======  ==========================================================================================
φ, w     features (m,) and weight of a candidate
u, g     φᵀ P φ and φᵀ P T P φ of each candidate
=======  ==========================================================================================
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from entropy_flows.entropy.basis import KernelBasis
from entropy_flows.entropy.variance import TargetVariance
from entropy_flows.select.base import Pool
from entropy_flows.select.ranking import Ranking
from entropy_flows.select.selector import DataSet, Proposal, Scorer, Selector
from entropy_flows.select.space import COPY_DISTANCE

FEWEST_LANDMARKS = 400
LANDMARKS_PER_LABEL = 2


class VarianceSelector(Selector):
    """Accept what leaves the pool best known on average, and no copies."""

    selector: str = "variance"
    length: float = Field(0.5, gt=0)
    """ℓ of the kernel, as a share of the median distance of two candidates."""
    noise: float = Field(0.3, gt=0)
    """σ² of a label, in units of the prior variance."""
    landmarks: int | None = Field(None, ge=1)
    """Number M of landmarks; None takes two for each label, and at least 400."""
    by_size: bool = True
    """Whether a cell weighs as its number of atoms, as its forces do in training. False where
    energies alone are learned."""

    def scorer(self, candidates: Pool, dataset: DataSet, budget: int | None) -> Scorer:
        """Return the candidates with the largest gains."""
        return VarianceRanking(self, candidates, dataset, budget)

    def n_landmarks(self, budget: int | None) -> int:
        """Return M for a number of labels."""
        if self.landmarks is not None:
            return self.landmarks
        return max(FEWEST_LANDMARKS, LANDMARKS_PER_LABEL * (budget or 0))

    def why_stopped(self, pool: Ranking, proposal: Proposal) -> str:
        """Return that only copies are left."""
        return pool.space.copies_left()


class VarianceRanking(Ranking):
    """A pool ranked by equation (1).

    Attributes
    ----------
    features
        φ (n, m) of the candidates.
    unknown
        `TargetVariance` of the data set, accepted candidates included.
    """

    def __init__(
        self,
        selector: VarianceSelector,
        candidates: Pool,
        dataset: DataSet,
        budget: int | None,
    ) -> None:
        super().__init__(selector, candidates, dataset)
        points = self.space.points
        if not len(points):
            return
        basis = KernelBasis.drawn(points, selector.n_landmarks(budget), selector.length)
        self.features = basis.features(points)
        sizes = self.sizes / self.sizes.mean()
        self._weights = sizes if selector.by_size else np.ones(len(points))
        self.unknown = TargetVariance(self.features, selector.noise)
        centres = self.space.centres
        if len(centres):
            weight = self._weight_of_centres(len(centres)) if selector.by_size else 1.0
            self.unknown.add_all(basis.features(centres), weight)
        self._numerators = self.unknown.numerators(self.features)
        self._denominators = self.unknown.denominators(self.features, self._weights)

    def _weight_of_centres(self, n_centres: int) -> float:
        """Return the mean weight of the data set's cells, of which the atoms are counted alone."""
        statistics = self.dataset.statistics.get("atom")
        if statistics is None or statistics.n == 0:
            return 1.0
        return statistics.n / n_centres / float(self.sizes.mean())

    def best(self) -> tuple[int, float]:
        """Return number and gain of the candidate with the largest gain; −∞ if only copies are."""
        gains = np.maximum(self._numerators, 0.0) / self._denominators
        is_copy = self.space.nearest <= COPY_DISTANCE
        gains[~self._is_left | is_copy] = -np.inf
        index = int(np.argmax(gains))
        return index, float(gains[index])

    def add(self, index: int) -> None:
        """Take a candidate off the ranking, and renew the others' gains."""
        super().add(index)
        y, z, square = self.unknown.add(self.features[index], float(self._weights[index]))
        a, b = (self.features @ np.column_stack([y, z])).T
        self._denominators -= a**2
        self._numerators += a**2 * square - 2 * a * b
