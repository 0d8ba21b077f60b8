"""Diversity of Khan 2026: k-means, then in each cluster the candidate farthest from the data set.

    clusters   minimise Σ_x |x − m(x)|² over k means, k-means++ at the start
    then       for each cluster in turn, the largest first:
               score(x) = min_{c ∈ D} |x − c|  for x in the cluster

Khan 2026 has k = 15 and a batch of 15, one of each cluster; a larger budget goes round again.
Clusters keep a batch from being spent on outliers of one kind. The paper says no more of the
refinement than its name.
"""

from __future__ import annotations

import warnings
from typing import ClassVar

import numpy as np
from pydantic import Field

from entropy_flows.conventions import Array
from entropy_flows.entropy.basis import COPY_DISTANCE
from entropy_flows.select.base import Pool
from entropy_flows.select.ranking import Ranking
from entropy_flows.select.selector import DataSet, Proposal, Scorer, Selector
from entropy_flows.select.space import Indices

ITERATIONS = 20
SEED = 0
"""Seed of k-means++; what varies from one seed of a campaign to the next is the order of the
pool."""


class KMeansSelector(Selector):
    """Accept the farthest candidate of each cluster in turn, and no copies."""

    selector: str = "kmeans"
    clusters: int = Field(15, ge=1)
    """Number k of clusters; fewer if the pool has fewer candidates."""
    threshold: ClassVar[float] = COPY_DISTANCE

    def scorer(self, candidates: Pool, dataset: DataSet, budget: int | None) -> Scorer:
        """Return the clusters' candidates, cluster after cluster."""
        return ClusterTurns(self, candidates, dataset)

    def why_stopped(self, pool: Ranking, proposal: Proposal) -> str:
        """Return that only copies are left."""
        return pool.space.copies_left()


class ClusterTurns(Ranking):
    """A ranking in which the clusters take turns."""

    def __init__(self, selector: KMeansSelector, candidates: Pool, dataset: DataSet) -> None:
        super().__init__(selector, candidates, dataset)
        self._clusters = partition(self.space.points, selector.clusters)
        self._turn = 0

    def best(self) -> tuple[int, float]:
        """Return the farthest point of the cluster in turn; a cluster of copies misses its turn."""
        for _ in self._clusters:
            members = self._clusters[self._turn]
            self._turn = (self._turn + 1) % len(self._clusters)
            index = self.space.farthest(members)
            if not self.space.is_copy(index):
                break
        return index, float(self.space.nearest[index])


def partition(points: Array, clusters: int) -> list[Indices]:
    """Return the indices of each cluster's points, large clusters first."""
    from scipy.cluster.vq import kmeans2

    if len(points) <= clusters:
        return [np.array([index]) for index in range(len(points))]
    # Where fewer points differ than there are clusters, scipy warns of empty ones, which are left
    # out below, and divides by their size.
    with warnings.catch_warnings(), np.errstate(invalid="ignore"):
        warnings.simplefilter("ignore", UserWarning)
        rng = np.random.default_rng(SEED)
        _, labels = kmeans2(points, clusters, iter=ITERATIONS, minit="++", rng=rng)
    members = [np.flatnonzero(labels == number) for number in range(clusters)]
    return sorted((indices for indices in members if len(indices)), key=len, reverse=True)
