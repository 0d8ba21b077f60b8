"""Cells as points, and the distance of each to the nearest centre, while centres are added.

    x = (q̄ − ⟨q̄⟩) / max(s, ⅒ max s),         d_i = min_c |x_i − x_c|                                               (1)

A cell is one point, the mean fingerprint of its atoms: distances between sets of atoms would cost
n² times as much and grow with the cell's size. Components are measured in the pool's own standard
deviations s. One that hardly varies counts little: with 10⁻³ for ⅒, the smallest eigenvalues
decide, and farthest points of random silicon cells are two to three times worse to learn from.

A new centre c can only come nearer to x_i than the present owner o of x_i if |c − o| < 2 d_i
(triangle inequality); other points are not looked at.

=======  ==========================================================================================================
symbol   meaning
=======  ==========================================================================================================
q̄        mean of a cell's fingerprints (d,)
⟨q̄⟩, s   mean and standard deviation of the components over the pool
d_i      `nearest`; infinite before there is a centre
o        `owner`, number of the nearest centre
=======  ==========================================================================================================
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from entropy_flows.conventions import Array
from entropy_flows.select.base import Pool

Places = NDArray[np.intp]
"""Numbers of candidates."""
FLOOR = 0.1
"""Smallest standard deviation of a component, as a share of the largest."""
SAME = 1e-9
"""Distance, in standard deviations, up to which a cell is a copy of a centre."""
FEW = 0.25
"""Share of the points below which those that a centre can be nearer to are looked at alone."""
CLOSE = 1e-6
"""|x − c|²/(|x|² + |c|²) below which it is computed from x − c: distances have a relative error
of 1e-10.
"""


@dataclass(frozen=True)
class PoolSummary:
    """What a pass through the pool has left."""

    means: Array
    """q̄ (n, d)."""
    uncertainty: Array | None
    """(n,); None if no candidate was asked for it."""


def summarise_pool(candidates: Pool, uncertain: str | None = None) -> PoolSummary:
    """Read all of the pool once; `uncertain` names the selector that goes by uncertainties.

    Raises
    ------
    ValueError
        If a candidate has no uncertainty, or one that is no number.
    """
    means: Array | None = None
    uncertainty = np.empty(len(candidates))
    for place, candidate in enumerate(candidates):
        if means is None:
            means = np.empty((len(candidates), candidate.q.shape[1]))
        means[place] = candidate.q.mean(axis=0)
        if uncertain is not None:
            if candidate.uncertainty is None or not np.isfinite(candidate.uncertainty):
                raise ValueError(
                    f"candidate {candidate.key!r} has uncertainty {candidate.uncertainty}; selector {uncertain!r} "
                    f"needs a number for each, from a committee of two models or more"
                )
            uncertainty[place] = candidate.uncertainty
    found = np.empty((0, 0)) if means is None else means
    return PoolSummary(found, None if uncertain is None else uncertainty)


class FeatureSpace:
    """Points of a pool and their distance to the nearest centre.

    Parameters
    ----------
    means
        q̄ (n, d) of the pool; changed in place.
    centres
        q̄ (m, d) of the data set; None if it is empty.

    Raises
    ------
    ValueError
        If the data set's fingerprints have another length.
    """

    def __init__(self, means: Array, centres: Array | None = None) -> None:
        centre, spread = (
            (means.mean(axis=0), means.std(axis=0)) if len(means) else (0.0, np.ones(1))
        )
        spread = (
            np.maximum(spread, FLOOR * spread.max()) if spread.max() > 0 else np.ones_like(spread)
        )
        means -= centre
        means /= spread
        self.points = means
        """x (n, d)."""
        self._squares = np.einsum("nd,nd->n", means, means)
        self.nearest, self.owner = np.full(len(means), np.inf), np.full(len(means), -1)
        self._centres: list[Array] = []
        self._added = 0
        if centres is not None and len(centres) and len(means):
            if centres.shape[1] != means.shape[1]:
                raise ValueError(
                    f"the data set's fingerprints have length {centres.shape[1]}, the pool's {means.shape[1]}"
                )
            for x in (centres - centre) / spread:
                self._count(x)

    def __len__(self) -> int:
        return len(self.points)

    def add(self, index: int) -> None:
        """Make one of the pool's points a centre."""
        self._added += 1
        self._count(self.points[index])

    def farthest(self, among: Places | None = None) -> int:
        """The point farthest from all centres, the first one of equals; of those in `among` (n,) if given."""
        if among is None:
            return int(np.argmax(self.nearest))
        return int(among[np.argmax(self.nearest[among])])

    def is_copy(self, index: int) -> bool:
        """Whether a point is where a centre is."""
        return bool(self.nearest[index] <= SAME)

    def copies_left(self) -> str:
        """Why a selector stops that takes no copies."""
        left = len(self) - self._added
        return f"the other {left} candidates are copies of cells that were taken or known"

    def _count(self, centre: Array) -> None:
        rows, cloud = np.arange(len(self.points)), self.points
        if self._centres:
            apart = np.linalg.norm(np.asarray(self._centres) - centre, axis=1)
            near = np.flatnonzero(2 * self.nearest > apart[self.owner])
            if len(near) < FEW * len(rows):
                rows, cloud = near, self.points[near]
        sizes = self._squares[rows] + centre @ centre
        squares = sizes - 2 * (cloud @ centre)
        if (
            close := np.flatnonzero(squares < CLOSE * sizes)
        ).size:  # what the difference of squares leaves no digits of
            step = cloud[close] - centre
            squares[close] = np.einsum("nd,nd->n", step, step)
        closer = squares < self.nearest[rows] ** 2
        self.nearest[rows[closer]], self.owner[rows[closer]] = (
            np.sqrt(squares[closer]),
            len(self._centres),
        )
        self._centres.append(centre.copy())
