"""Last-layer uncertainty: the candidate that a model linear in the features knows least of.

    score(c) = φ_cᵀ P φ_c,    P = (σ² 1 + Σ_{d ∈ D} φ_d φ_dᵀ)⁻¹,    φ = (1, x)/ρ                 (1)

σ² times the score is the posterior variance of the energy per atom of a cell, by a model whose last
layer is linear in the features x (last-layer prediction rigidity). It needs no labels. After a
pick j the score of each candidate falls to

    score(c) ← score(c) − (φ_c · y)²,    y = P φ_j / √(1 + φ_jᵀ P φ_j),    P ← P − y yᵀ          (2)

exactly, so a cell that resembles the pick is worth less, and the picks are not all alike. Each pick
multiplies det (σ² 1 + Σ φ φᵀ) by 1 + score: greedy D-optimal design.

It is a model's own uncertainty where the fingerprint is of the kind `features`. With any other it
is that of a linear model on the mean fingerprint.

=======  ==========================================================================================
symbol   meaning
=======  ==========================================================================================
x        features of a cell (d,): mean over its atoms, standardised over the pool (`space`)
ρ        root mean square of |(1, x)| over the pool, so that the prior variance of a cell is 1 on
         average
σ²       `noise`, variance of a label in units of the prior's
=======  ==========================================================================================

(Bigi, Chong, Ceriotti and Grasselli, Mach. Learn.: Sci. Technol. 5, 045018, 2024.)
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from entropy_flows.conventions import Array
from entropy_flows.entropy.basis import COPY_DISTANCE
from entropy_flows.select.base import Pool
from entropy_flows.select.ranking import Ranking
from entropy_flows.select.selector import DataSet, Proposal, Scorer, Selector


class LastLayerSelector(Selector):
    """Accept the cell with the largest last-layer uncertainty, and no copies."""

    selector: str = "llpr"
    noise: float = Field(0.3, gt=0)
    """σ² of a label, in units of the mean prior variance of a cell of the pool."""

    def scorer(self, candidates: Pool, dataset: DataSet, budget: int | None) -> Scorer:
        """Return the candidates with the largest uncertainties."""
        return LastLayerRanking(self, candidates, dataset)

    def why_stopped(self, pool: Ranking, proposal: Proposal) -> str:
        """Return that only copies are left."""
        return pool.space.copies_left()


class LastLayerRanking(Ranking):
    """A pool ranked by equation (1).

    Attributes
    ----------
    features
        φ (n, d + 1) of the candidates.
    variances
        Score (n,) of each candidate, accepted ones included.
    """

    def __init__(self, selector: LastLayerSelector, candidates: Pool, dataset: DataSet) -> None:
        super().__init__(selector, candidates, dataset)
        points = self.space.points
        if not len(points):
            return
        size = np.sqrt(1 + np.einsum("nd,nd->n", points, points).mean())
        self.features = with_constant(points) / size
        labelled = with_constant(self.space.centres) / size
        precision = selector.noise * np.eye(self.features.shape[1]) + labelled.T @ labelled
        self._covariance = np.linalg.inv(precision)
        projected = self.features @ self._covariance
        self.variances = np.einsum("nd,nd->n", projected, self.features)

    def best(self) -> tuple[int, float]:
        """Return number and score of the most uncertain candidate; −∞ if only copies are left."""
        is_copy = self.space.nearest <= COPY_DISTANCE
        scores = np.where(self._is_left & ~is_copy, self.variances, -np.inf)
        index = int(np.argmax(scores))
        return index, float(scores[index])

    def add(self, index: int) -> None:
        """Take a candidate off the ranking, and lower the others' scores by equation (2)."""
        super().add(index)
        projected = self._covariance @ self.features[index]
        y = projected / np.sqrt(1 + self.features[index] @ projected)
        self._covariance -= np.outer(y, y)
        self.variances -= (self.features @ y) ** 2


def with_constant(points: Array) -> Array:
    """Return (1, x) (n, d + 1) of points x (n, d): a model has a constant that it learns, too."""
    return np.column_stack([np.ones(len(points)), points])
