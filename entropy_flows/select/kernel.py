"""Base of selectors that compare cells by a kernel between their mean fingerprints.

    k(x, x′) = exp(−|x − x′|² / 2ℓ²),    x standardised as in `space`                            (1)

The kernel, its length and its features φ with k ≈ φ·φ′ are those of `entropy.basis`, drawn from the
pool. No matrix of all pairs is kept: n candidates are n rows of M features.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from entropy_flows.conventions import Array
from entropy_flows.entropy.basis import COPY_DISTANCE, KernelBasis, landmarks_for
from entropy_flows.select.ranking import Ranking
from entropy_flows.select.selector import Proposal, Selector
from entropy_flows.select.space import FeatureSpace, Indices


class KernelSelector(Selector):
    """Base of selectors that go by a kernel between candidates."""

    length: float = Field(0.5, gt=0)
    """ℓ of the kernel, as a share of the median distance of two candidates."""
    landmarks: int | None = Field(None, ge=1)
    """Number M of landmarks; None takes two for each label, and at least 400."""

    def basis(self, points: Array, labels: int) -> KernelBasis:
        """Draw the basis that tells so many labels apart from the pool's points (n, d)."""
        return KernelBasis.drawn(points, self.landmarks or landmarks_for(labels), self.length)

    def why_stopped(self, pool: Ranking, proposal: Proposal) -> str:
        """Return that only copies are left."""
        return pool.space.copies_left()


def without_copies(space: FeatureSpace) -> Indices:
    """Return the candidates that differ from one another and from all centres, in their order."""
    points = space.points
    sums = points.sum(axis=1)
    order = np.argsort(sums, kind="stable")
    # points whose components have other sums lie farther apart than that
    reach = COPY_DISTANCE * np.sqrt(points.shape[1]) + 1e-12
    ends = np.flatnonzero(np.diff(sums[order]) > reach) + 1
    different: list[int] = []
    for run in np.split(order, ends):
        first: list[int] = []
        for row in np.sort(run):
            distances = np.linalg.norm(points[first] - points[row], axis=1)
            if not (distances <= COPY_DISTANCE).any():
                first.append(int(row))
        different += first
    rows = np.sort(np.array(different, dtype=np.intp))
    return rows[space.nearest[rows] > COPY_DISTANCE]
