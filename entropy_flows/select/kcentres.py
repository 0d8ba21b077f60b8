"""k-centres: as many cells as the budget has, placed so that no candidate is far from one of them.

    minimise r = max_x min_{c ∈ D ∪ S} |x − c|    over S, |S| = budget

Farthest points are a solution with r ≤ 2 r_min (Gonzalez 1985; Sener and Savarese, ICLR 2018), but
they sit at the edge of what they stand for. So each new centre then moves to the middle of its own
points, the one nearest to the centre of their smallest enclosing ball, if their largest distance
from it is smaller there. r never grows by that, so that the factor 2 holds; the data set's own
cells stay where they are. Such core-sets are known before the first of them is accepted, so that
they come in a fixed order.

The ball's centre z is found by Bădoiu and Clarkson's steps (SODA 2003):
z ← z + (x_far − z) / (t + 1), t = 1, 2, …
"""

from __future__ import annotations

import numpy as np

from entropy_flows.conventions import Array
from entropy_flows.select.base import Pool
from entropy_flows.select.ranking import InOrder, in_turn
from entropy_flows.select.selector import DataSet, Scorer, Selector
from entropy_flows.select.space import FeatureSpace, Indices, summarise_pool

BALL_STEPS = 20
"""Steps of Bădoiu and Clarkson: z is then within a fifth of the radius of the ball's centre,
ordinarily much nearer.
"""


class KCentresSelector(Selector):
    """Accept the centres, in the order in which they were found.

    Without a budget every candidate is its own centre.
    """

    selector: str = "kcentres"

    def scorer(self, candidates: Pool, dataset: DataSet, budget: int | None) -> Scorer:
        """Return the centres in their order."""
        space = FeatureSpace(summarise_pool(candidates).means, dataset.centres)
        n_centres = len(space) if budget is None else min(budget, len(space))
        farthest = _farthest_points(space, n_centres)
        reason = space.copies_left() if len(farthest) < n_centres else ""
        return InOrder(in_turn(candidates, _middles(space, farthest)), reason)


def _farthest_points(space: FeatureSpace, n: int) -> list[int]:
    """Add n farthest points to the centres, fewer if the others are copies."""
    chosen: list[int] = []
    while len(chosen) < n:
        index = space.farthest()
        if space.is_copy(index):
            break
        space.add(index)
        chosen.append(index)
    return chosen


def _middles(space: FeatureSpace, chosen: list[int]) -> list[int]:
    """Replace each of the last centres by the middle of the points that are nearest to it."""
    first = space.n_centres - len(chosen)
    middles = []
    for number, index in enumerate(chosen, first):
        members = np.flatnonzero(space.owner == number)
        middles.append(middle(space.points, members, index) if len(members) else index)
    return middles


def middle(points: Array, members: Indices, centre: int) -> int:
    """Return the member nearest to the centre of their ball, or `centre` if they lie closer to it.

    Parameters
    ----------
    points
        All points (n, d).
    members
        Indices of those that belong to the centre.
    centre
        Index of the present centre.
    """
    cloud = points[members]
    z = cloud.mean(axis=0)
    for t in range(1, BALL_STEPS + 1):
        far = cloud[np.argmax(np.linalg.norm(cloud - z, axis=1))]
        z = z + (far - z) / (t + 1)
    nearest = int(members[np.argmin(np.linalg.norm(cloud - z, axis=1))])
    radius = np.linalg.norm(cloud - points[centre], axis=1).max()
    new_radius = np.linalg.norm(cloud - points[nearest], axis=1).max()
    return nearest if new_radius < radius else centre
