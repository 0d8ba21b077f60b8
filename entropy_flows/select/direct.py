"""DIRECT: dimensions reduced, clusters, and the middle of each (stratified sampling).

    1  principal components of x with a variance above 1 (Kaiser's rule), each times its share of
       the variance
    2  BIRCH with as many clusters as cells are wanted, the data set's cells among the points
    3  of each cluster without a cell of the data set the candidate nearest to its centre, the
       largest cluster first; if they do not suffice, the next nearest of each in turn

A cluster that holds a cell of the data set is known. There are as many clusters as wanted beside
the data set, so that enough are left. (Qi, Ko, Wood, Pham and Ong, npj Comput. Mater. 10, 43,
2024; they have features of a graph network for x. BIRCH: Zhang, Ramakrishnan and Livny, SIGMOD Rec.
25, 103, 1996, as scikit-learn has it.)
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from pydantic import Field

from entropy_flows.conventions import Array
from entropy_flows.select.base import Pool
from entropy_flows.select.kernel import without_copies
from entropy_flows.select.ranking import InOrder, in_turn
from entropy_flows.select.selector import DataSet, Scorer, Selector
from entropy_flows.select.space import FeatureSpace, Indices, summarise_pool

RADIUS_STEPS = 30
"""Times that the radius is changed to have enough clusters, and not too many."""
LARGEST_TREE = 10_000
"""Smallest clusters at most: merging them needs the distances of all pairs."""


class DirectSelector(Selector):
    """Accept the middle of each cluster."""

    selector: str = "direct"
    radius: float = Field(0.05, gt=0)
    """Radius of BIRCH's smallest clusters, in units of the weighted components; it is made smaller
    as long as there are fewer of them than wanted, and larger if there are very many."""

    def check(self) -> None:
        """Raise a ValueError if scikit-learn is missing."""
        try:
            import sklearn.cluster  # noqa: F401
        except ImportError as err:
            raise ValueError(
                f"selector {self.selector!r} needs scikit-learn ({err}); pip install scikit-learn"
            ) from None

    def scorer(self, candidates: Pool, dataset: DataSet, budget: int | None) -> Scorer:
        """Return the clusters' middles, the largest cluster first."""
        self.check()
        space = FeatureSpace(summarise_pool(candidates).means, dataset.centres)
        different = without_copies(space)
        n_cells = len(different) if budget is None else min(budget, len(different))
        reason = space.copies_left(n_cells) if n_cells < len(space) else ""
        if not n_cells:
            return InOrder([], reason)
        points = np.concatenate([space.points[different], space.centres])
        points = weighted_components(points)
        clusters = partition(points, n_cells + space.n_centres, self.radius)
        order = [different[row] for row in _middles(points, clusters, len(different))]
        return InOrder(in_turn(candidates, order), reason)


def weighted_components(points: Array) -> Array:
    """Return the principal components (n, p) of points (n, d), each times its share of variance."""
    from sklearn.decomposition import PCA

    if len(points) < 2:
        return points
    pca = PCA(svd_solver="full").fit(points)
    count = max(1, int((pca.explained_variance_ > 1.0).sum()))
    components: Array = pca.transform(points)[:, :count] * pca.explained_variance_ratio_[:count]
    return components


def partition(points: Array, clusters: int, radius: float) -> list[Indices]:
    """Return the indices of each cluster's points, large clusters first."""
    from sklearn.cluster import Birch

    if clusters >= len(points):
        return [np.array([index]) for index in range(len(points))]
    for _ in range(RADIUS_STEPS):
        birch = Birch(n_clusters=None, threshold=radius).fit(points)
        n_found = len(birch.subcluster_centers_)
        if n_found > max(LARGEST_TREE, 2 * clusters):
            radius *= 2.0
            continue
        if n_found >= clusters:
            labels = Birch(n_clusters=clusters, threshold=radius).fit_predict(points)
            break
        labels = birch.labels_
        radius *= min(0.9, n_found / clusters)
    members = [np.flatnonzero(labels == number) for number in np.unique(labels)]
    return sorted(members, key=len, reverse=True)


def _middles(points: Array, clusters: list[Indices], n_candidates: int) -> Iterator[int]:
    """Yield rows of candidates: the nearest to each free cluster's centre, then the next ones."""
    free: list[Indices] = []
    others: list[Indices] = []
    for members in clusters:
        distance = np.linalg.norm(points[members] - points[members].mean(axis=0), axis=1)
        ranked = members[np.argsort(distance, kind="stable")]
        is_known = ranked >= n_candidates
        (others if is_known.any() else free).append(ranked[~is_known])
    for group in (free, others):
        for turn in range(max(map(len, group), default=0)):
            yield from (int(ranked[turn]) for ranked in group if turn < len(ranked))
