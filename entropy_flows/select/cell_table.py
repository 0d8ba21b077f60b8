"""Cells of a pool beside a data set for a target, scored anew while cells are taken into it.

A pool too large to be scored as a whole is read in blocks. Each proposes `OVERSAMPLING` times its
share of the choice, given the data set and all that was proposed before; the choice is then made
among these. Memory and work then grow with the choice, and with the pool only by one pass through
it. A block that has little to offer loses its share in the end, so the order of the pool hardly
matters.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from entropy_flows.conventions import Array
from entropy_flows.entropy import CellMeans, VarianceStatistics
from entropy_flows.entropy.basis import COPY_DISTANCE
from entropy_flows.select.base import Candidate

LARGEST_TABLE = 20_000
"""Cells that are ranked as a whole; of more, each block proposes some."""
BLOCK = 1_000
"""Cells of a block: their features lie in a core's cache."""
OVERSAMPLING = 2
"""What a block proposes, in units of its share of the choice."""


class TakenPoints:
    """Points of the cells that count as known, to tell whether a cell is a copy of one.

    Parameters
    ----------
    points
        x (n, d), in the units of a basis.
    """

    def __init__(self, points: Array) -> None:
        self._points = list(points)
        self._sums = [float(point.sum()) for point in points]

    def copy(self) -> TakenPoints:
        """Return an independent copy."""
        twin = TakenPoints(np.empty((0, 0)))
        twin._points = list(self._points)
        twin._sums = list(self._sums)
        return twin

    def add(self, point: Array) -> None:
        """Add a point (d,)."""
        self._points.append(point)
        self._sums.append(float(point.sum()))

    def has(self, point: Array) -> bool:
        """Return whether there is a point at a place (d,)."""
        if not self._points:
            return False
        # points whose components have other sums lie farther apart than that
        reach = COPY_DISTANCE * np.sqrt(len(point))
        close = np.flatnonzero(np.abs(np.array(self._sums) - point.sum()) <= reach + 1e-12)
        return any(np.linalg.norm(self._points[index] - point) <= COPY_DISTANCE for index in close)


class CellTable(ABC):
    """Scores of some cells, the largest first; no copies.

    Parameters
    ----------
    statistics
        Data set and target; cells that are taken enter it.
    cells
        The cells.
    taken
        Points of the data set; cells that are taken enter it.

    Attributes
    ----------
    columns
        Features (m, n) of the cells.
    weights
        Weights (n,) of the cells.
    """

    def __init__(
        self, statistics: VarianceStatistics, cells: CellMeans, taken: TakenPoints
    ) -> None:
        self.statistics = statistics
        self._taken = taken
        self._points = statistics.basis.points(cells.means)
        features = statistics.basis.kernel.features(self._points)
        self.weights = statistics.basis.weights(cells.sizes)
        # two products with all features are half as dear by rows of them
        self.columns: Array = np.ascontiguousarray(features.T)
        self._is_left = np.ones(len(self._points), dtype=bool)

    @abstractmethod
    def scores(self) -> Array:
        """Return the score (n,) of every cell now; those of cells that were taken do not count."""

    @abstractmethod
    def enter(self, feature: Array, weight: float) -> None:
        """Let a cell of features (m,) and a weight into the data set, and renew the scores."""

    def best(self) -> tuple[int, float] | None:
        """Return index and score of the best cell; None if only copies are left."""
        scores = self.scores()
        scores[~self._is_left] = -np.inf
        while self._is_left.any():
            index = int(np.argmax(scores))
            if not self._taken.has(self._points[index]):
                return index, float(scores[index])
            self._is_left[index] = False
            scores[index] = -np.inf
        return None

    def take(self, index: int) -> None:
        """Take a cell into the data set."""
        self._is_left[index] = False
        self._taken.add(self._points[index])
        self.enter(self.columns[:, index].copy(), float(self.weights[index]))


def finalists(
    candidates: Iterable[Candidate],
    total: int,
    statistics: VarianceStatistics,
    taken: TakenPoints,
    budget: int | None,
    kind: type[CellTable],
) -> tuple[NDArray[np.intp], CellMeans]:
    """Return the candidates to choose from: all of a small pool, the best of a large one's blocks.

    Parameters
    ----------
    candidates
        The pool, read once.
    total
        Number of candidates in it.
    statistics, taken
        Data set and target; not changed.
    budget
        Candidates to choose; None for no limit, and all of the pool.
    kind
        Table by which a block proposes.

    Returns
    -------
    tuple
        Their indices in the pool, and the cells as far as scores need them.
    """
    is_whole = budget is None or total <= LARGEST_TABLE
    indices: list[NDArray[np.intp]] = []
    pieces: list[CellMeans] = []
    start = 0
    if not is_whole:
        statistics = statistics.copy()
        taken = taken.copy()
    for cells in blocks(candidates, BLOCK):
        count = len(cells.means)
        rows = np.arange(count)
        if not is_whole:
            assert budget is not None, "a pool without a budget is taken as a whole"
            limit = int(np.ceil(OVERSAMPLING * budget * count / total))
            rows = _proposed(kind(statistics, cells, taken), limit)
        indices.append(start + rows)
        pieces.append(cells.take(rows))
        start += count
    if not pieces:
        return np.empty(0, dtype=np.intp), CellMeans(np.empty((0, 0)), np.empty(0))
    return np.concatenate(indices), CellMeans.joined(pieces)


def _proposed(table: CellTable, limit: int) -> NDArray[np.intp]:
    """Return the rows of a block that it proposes, in their order."""
    rows: list[int] = []
    while len(rows) < limit and (best := table.best()) is not None:
        rows.append(best[0])
        table.take(best[0])
    return np.sort(np.array(rows, dtype=np.intp))


def blocks(candidates: Iterable[Candidate], size: int) -> Iterator[CellMeans]:
    """Yield the means of candidates, so many at a time."""
    means: list[Array] = []
    sizes: list[int] = []
    for candidate in candidates:
        means.append(candidate.centre)
        sizes.append(candidate.size)
        if len(means) == size:
            yield CellMeans(np.array(means), np.array(sizes, dtype=float))
            means = []
            sizes = []
    if means:
        yield CellMeans(np.array(means), np.array(sizes, dtype=float))
