"""Diversity of Khan 2026: k-means, then in each cluster the candidate farthest from everything there is.

    clusters   minimise Σ_x |x − m(x)|² over k means, k-means++ at the start
    then       for each cluster in turn, the largest first:  x* = argmax_{x in it} min_{c ∈ D} |x − c|,  D ← D ∪ {x*}

The paper has k = 15 and a batch of 15, one of each cluster; a larger budget goes round again. It
says no more of the refinement than its name; clusters keep a batch from being spent on outliers of
one kind.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.cluster.vq import kmeans2

from entropy_flows.conventions import Array
from entropy_flows.entropy import Mode, SufficientStatistics
from entropy_flows.select.base import Decisions, Pool, accept, used_up
from entropy_flows.select.space import SAME, FeatureSpace, Places, summarise_pool

ITERATIONS = 20
SEED = 0
"""Of k-means++; what varies from one seed of a campaign to the next is the order of the pool."""


@dataclass(frozen=True)
class KMeansSelector:
    """Accept the farthest candidate of each cluster in turn, and no copies; the others are not decided on.

    Attributes
    ----------
    clusters
        k; fewer if the pool has fewer.
    """

    clusters: int = 15

    def __call__(
        self,
        candidates: Pool,
        statistics: Mapping[Mode, SufficientStatistics],
        budget: int | None = None,
        centres: np.ndarray | None = None,
    ) -> Decisions:
        """Accept candidates, cluster after cluster; see `Selector`."""
        space = FeatureSpace(summarise_pool(candidates).means, centres)
        members, done = partition(space.points, self.clusters), 0
        wanted = len(space) if budget is None else min(budget, len(space))
        while done < wanted:
            for own in members:
                index = space.farthest(own)
                if done == wanted or space.is_copy(index):
                    continue
                space.add(index)
                done += 1
                yield accept(index, candidates[index], statistics)
            if done < wanted and (space.nearest <= SAME).all():
                return space.copies_left()
        return used_up(len(space), budget)


def partition(points: Array, clusters: int) -> list[Places]:
    """Places of each cluster's points, large clusters first."""
    if len(points) <= clusters:
        return [np.array([place]) for place in range(len(points))]
    with (
        warnings.catch_warnings(),
        np.errstate(invalid="ignore"),
    ):  # fewer different points than clusters
        warnings.simplefilter("ignore", UserWarning)  # the empty ones are left out below
        _, label = kmeans2(
            points, clusters, iter=ITERATIONS, minit="++", rng=np.random.default_rng(SEED)
        )
    found = [np.flatnonzero(label == number) for number in range(clusters)]
    return sorted((own for own in found if len(own)), key=len, reverse=True)
