"""Farthest point: the candidate farthest from the data set, then the farthest from that too.

    score(x) = min_{c ∈ D} |x − c|

Points are standardised mean fingerprints (`space`). With an empty data set the first candidate of
the order comes first. (Gonzalez, Theor. Comput. Sci. 38, 293, 1985; in atomistics as farthest point
sampling.)
"""

from __future__ import annotations

from typing import ClassVar

from entropy_flows.conventions import Array
from entropy_flows.entropy.basis import COPY_DISTANCE
from entropy_flows.select.ranking import Ranking
from entropy_flows.select.selector import Proposal, Selector


class FarthestSelector(Selector):
    """Accept the farthest candidate, one after the other, and no copies."""

    selector: str = "farthest"
    threshold: ClassVar[float] = COPY_DISTANCE

    def score(self, pool: Ranking) -> Array:
        """Return the distance (n,) of each candidate to the nearest cell of the data set."""
        return pool.space.nearest

    def why_stopped(self, pool: Ranking, proposal: Proposal) -> str:
        """Return that only copies are left."""
        return pool.space.copies_left()
