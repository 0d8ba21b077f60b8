"""The mean fingerprints of a pool, as candidates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from entropy_flows.conventions import Array
from entropy_flows.select import Candidate


class MeanCandidates:
    """The mean fingerprints of a pool, as candidates in a random order.

    Parameters
    ----------
    total
        Frames of the pool.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._means: NDArray[np.float32] = np.empty((0, 0), dtype=np.float32)
        self._numbers: NDArray[np.int64] = np.empty(total, dtype=np.int64)
        self._sizes: NDArray[np.int64] = np.empty(total, dtype=np.int64)
        self._order: NDArray[np.intp] = np.empty(0, dtype=np.intp)
        self._count = 0

    def add(self, numbers: Sequence[int], means: Array, sizes: Sequence[int]) -> None:
        """Add frames with these numbers, mean fingerprints (n, dim) and numbers of atoms."""
        if not numbers:
            return
        if not self._means.size:
            self._means = np.empty((self._total, means.shape[1]), dtype=np.float32)
        end = self._count + len(numbers)
        self._means[self._count : end] = means
        self._numbers[self._count : end] = numbers
        self._sizes[self._count : end] = sizes
        self._count = end

    def shuffle(self, stream: np.random.Generator) -> None:
        """Put the frames into a random order."""
        self._order = stream.permutation(self._count)

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[Candidate]:
        for index in range(len(self)):
            yield self[index]

    def __getitem__(self, index: int) -> Candidate:
        """Return one candidate, with the mean fingerprint alone."""
        row = self._order[index]
        q = self._means[row : row + 1].astype(np.float64)
        return Candidate(str(self._numbers[row]), q, "config", None, int(self._sizes[row]))
