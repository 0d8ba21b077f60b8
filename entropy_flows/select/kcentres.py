"""k-centres: as many cells as the budget has, so placed that no candidate is far from one (core-sets).

    minimise r = max_x min_{c ∈ D ∪ S} |x − c|    over S, |S| = budget

Farthest points are a solution with r ≤ 2 r_min (Gonzalez 1985; Sener and Savarese, ICLR 2018), but
they sit at the edge of what they stand for. So each new centre then moves to the middle of its own
points, the one nearest to the centre of their smallest enclosing ball, if their largest distance
from it is smaller there. r never grows by that, so that the factor 2 holds; the data set's own
cells stay where they are.

The ball's centre z is found by Bădoiu and Clarkson's steps (SODA 2003): z ← z + (x_far − z) / (t +
1), t = 1, 2, …
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from entropy_flows.conventions import Array
from entropy_flows.entropy import Mode, SufficientStatistics
from entropy_flows.select.base import Decisions, Pool, accept, used_up
from entropy_flows.select.space import FeatureSpace, Places, summarise_pool

STEPS = 20
"""Of Bădoiu and Clarkson: z is then within a fifth of the radius of the ball's centre,
ordinarily much nearer.
"""


@dataclass(frozen=True)
class KCentresSelector:
    """Accept the centres, in the order in which they were found; the others are not decided on.

    Without a budget every candidate is its own centre.
    """

    def __call__(
        self,
        candidates: Pool,
        statistics: Mapping[Mode, SufficientStatistics],
        budget: int | None = None,
        centres: np.ndarray | None = None,
    ) -> Decisions:
        """Accept centres; see `Selector`."""
        space = FeatureSpace(summarise_pool(candidates).means, centres)
        known, chosen = 0 if centres is None else len(centres), list[int]()
        while len(chosen) < (len(space) if budget is None else min(budget, len(space))):
            index = space.farthest()
            if space.is_copy(index):
                break
            space.add(index)
            chosen.append(index)
        for number, index in enumerate(chosen):
            own = np.flatnonzero(space.owner == known + number)
            centre = index if len(own) == 0 else middle(space.points, own, index)
            yield accept(centre, candidates[centre], statistics)
        short = len(chosen) < min(len(space), len(space) if budget is None else budget)
        return space.copies_left() if short else used_up(len(space), budget)


def middle(points: Array, own: Places, centre: int) -> int:
    """The place among `own` nearest to the centre of their ball, if they lie closer around it than around `centre`."""
    cloud = points[own]
    z = cloud.mean(axis=0)
    for t in range(1, STEPS + 1):
        far = cloud[np.argmax(np.linalg.norm(cloud - z, axis=1))]
        z = z + (far - z) / (t + 1)
    found = int(own[np.argmin(np.linalg.norm(cloud - z, axis=1))])
    before, after = (
        np.linalg.norm(cloud - points[place], axis=1).max() for place in (centre, found)
    )
    return found if after < before else centre
