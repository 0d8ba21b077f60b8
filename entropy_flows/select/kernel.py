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
    from scipy.spatial import cKDTree

    if not len(space):
        return np.empty(0, dtype=np.intp)
    first = np.sort(np.unique(space.points, axis=0, return_index=True)[1])
    points = space.points[first]
    tree = cKDTree(points)
    nearest = tree.query(points, k=2, distance_upper_bound=COPY_DISTANCE)[0]
    is_kept = np.ones(len(points), dtype=bool)
    # one after the other: of many copies, pairs would fill the memory
    for row in np.flatnonzero(np.isfinite(nearest[:, 1])):
        if is_kept[row]:
            is_kept[tree.query_ball_point(points[row], COPY_DISTANCE)] = False
            is_kept[row] = True
    return first[is_kept & (space.nearest[first] > COPY_DISTANCE)]
