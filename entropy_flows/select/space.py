"""Cells as points, and the distance of each to the nearest centre, while centres are added.

    x = (q̄ − ⟨q̄⟩) / max(s, ⅒ max s),         d_i = min_c |x_i − x_c|                           (1)

A cell is one point, the mean fingerprint of its atoms: distances between sets of atoms would cost
n² times as much and grow with the cell's size. Components are measured in the pool's own standard
deviations s. One that hardly varies counts little: with 10⁻³ for ⅒, the smallest eigenvalues
decide, and farthest points of random silicon cells are two to three times worse to learn from.

A new centre c can only come nearer to x_i than the present owner o of x_i if |c − o| < 2 d_i
(triangle inequality); the distances of other points are not computed.

=======  ==========================================================================================
symbol   meaning
=======  ==========================================================================================
q̄        mean of a cell's fingerprints (d,)
⟨q̄⟩, s   mean and standard deviation of the components over the pool
d_i      `nearest`; infinite before there is a centre
o        `owner`, number of the nearest centre
=======  ==========================================================================================
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from entropy_flows.conventions import Array
from entropy_flows.entropy.basis import COPY_DISTANCE, standardisation
from entropy_flows.select.base import Pool

Indices = NDArray[np.intp]
"""Numbers of candidates."""
MAX_SHARE_TO_GATHER = 0.25
"""Share of the points up to which those that a centre can be nearer to are gathered, and the
distances of the others are not computed."""
CLOSE = 1e-6
"""|x − c|²/(|x|² + |c|²) below which it is computed from x − c: distances have a relative error
of 1e-10.
"""


@dataclass(frozen=True)
class PoolSummary:
    """Means and uncertainties of a pool, from one pass through it."""

    means: Array
    """q̄ (n, d)."""
    sizes: Array
    """Numbers of atoms (n,)."""
    uncertainty: Array | None
    """(n,); None if no candidate was asked for it."""


def summarise_pool(candidates: Pool, needs_uncertainty: str | None = None) -> PoolSummary:
    """Read all of the pool once.

    Parameters
    ----------
    candidates
        The pool.
    needs_uncertainty
        Name of the selector that goes by uncertainties; None if they are not needed.

    Raises
    ------
    ValueError
        If a candidate has no uncertainty, or one that is no number.
    """
    means: Array | None = None
    sizes = np.empty(len(candidates))
    uncertainty = np.empty(len(candidates))
    for index, candidate in enumerate(candidates):
        if means is None:
            means = np.empty((len(candidates), candidate.q.shape[1]))
        means[index] = candidate.centre
        sizes[index] = candidate.size
        if needs_uncertainty is None:
            continue
        if candidate.uncertainty is None or not np.isfinite(candidate.uncertainty):
            raise ValueError(
                f"candidate {candidate.key!r} has uncertainty {candidate.uncertainty}; "
                f"selector {needs_uncertainty!r} needs a number for each, from a committee of two "
                "models or more"
            )
        uncertainty[index] = candidate.uncertainty
    if means is None:
        means = np.empty((0, 0))
    return PoolSummary(means, sizes, None if needs_uncertainty is None else uncertainty)


class FeatureSpace:
    """Points of a pool and their distance to the nearest centre.

    Parameters
    ----------
    means
        q̄ (n, d) of the pool; changed in place.
    centres
        q̄ (m, d) of the data set; None if it is empty.

    Attributes
    ----------
    points
        x (n, d), equation (1).
    nearest
        Distance d of each point to the nearest centre (n,).
    owner
        Number of each point's nearest centre (n,); −1 before there is one.

    Raises
    ------
    ValueError
        If the data set's fingerprints have another length.
    """

    def __init__(self, means: Array, centres: Array | None = None) -> None:
        centre, spread = standardisation(means)
        means -= centre
        means /= spread
        self.points = means
        self.nearest = np.full(len(means), np.inf)
        self.owner = np.full(len(means), -1)
        self._squares = np.einsum("nd,nd->n", means, means)
        self._centres: list[Array] = []
        self._n_added = 0
        if centres is not None and len(centres) and len(means):
            if centres.shape[1] != means.shape[1]:
                raise ValueError(
                    f"the data set's fingerprints have length {centres.shape[1]}, "
                    f"the pool's {means.shape[1]}"
                )
            for x in (centres - centre) / spread:
                self._add_centre(x)

    def __len__(self) -> int:
        return len(self.points)

    @property
    def centres(self) -> Array:
        """Centres (n, d) in the order in which they came, the data set's first."""
        return np.array(self._centres).reshape(-1, self.points.shape[1])

    @property
    def n_centres(self) -> int:
        """Number of centres, the data set's included."""
        return len(self._centres)

    def add(self, index: int) -> None:
        """Make one of the pool's points a centre."""
        self._n_added += 1
        self._add_centre(self.points[index])

    def farthest(self, among: Indices | None = None) -> int:
        """Return the point farthest from all centres, the first one of equals.

        Parameters
        ----------
        among
            Indices of the points to choose from; None for all.
        """
        if among is None:
            return int(np.argmax(self.nearest))
        return int(among[np.argmax(self.nearest[among])])

    def is_copy(self, index: int) -> bool:
        """Return whether there is a centre at a point."""
        return bool(self.nearest[index] <= COPY_DISTANCE)

    def copies_left(self, n_taken: int | None = None) -> str:
        """Return why a selector stops that takes no copies.

        Parameters
        ----------
        n_taken
            Candidates that it takes; None if each was made a centre.
        """
        left = len(self) - (self._n_added if n_taken is None else n_taken)
        return f"the other {left} candidates are copies of cells that were taken or known"

    def _add_centre(self, centre: Array) -> None:
        rows = self._within_reach(centre)
        is_closer, distances = self._closer(rows, centre)
        rows = rows[is_closer]
        self.nearest[rows] = distances
        self.owner[rows] = len(self._centres)
        self._centres.append(centre.copy())

    def _within_reach(self, centre: Array) -> Indices:
        """Return the points that may be closer to a new centre than to their owner."""
        everything = np.arange(len(self.points))
        if not self._centres:
            return everything
        gaps = np.linalg.norm(np.asarray(self._centres) - centre, axis=1)
        rows = np.flatnonzero(2 * self.nearest > gaps[self.owner])
        # To gather many rows costs more than the distances that it saves.
        return rows if len(rows) < MAX_SHARE_TO_GATHER * len(everything) else everything

    def _closer(self, rows: Indices, centre: Array) -> tuple[NDArray[np.bool_], Array]:
        """Return which of the rows are closer to a centre than to their owner, and how far off."""
        is_all = len(rows) == len(self.points)
        cloud = self.points if is_all else self.points[rows]
        sizes = self._squares[rows] + centre @ centre
        squares = sizes - 2 * (cloud @ centre)
        # The difference of squares leaves no digits of small distances.
        close = np.flatnonzero(squares < CLOSE * sizes)
        if close.size:
            step = cloud[close] - centre
            squares[close] = np.einsum("nd,nd->n", step, step)
        is_closer = squares < self.nearest[rows] ** 2
        return is_closer, np.sqrt(squares[is_closer])
