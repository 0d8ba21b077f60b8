"""The vectors of many cells as stacks that fit the cache: what is screened at once.

A cell has fingerprints (n_atoms, d) and counts as m vectors: its atoms' in mode "atom", their mean
in mode "config".
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from entropy_flows.conventions import Array
from entropy_flows.entropy.support import Support

BLOCK_BYTES = 2**19
"""Bytes of a stack, to fit the second-level cache."""
BLOCK_ROWS = 128
"""Vectors of a stack at least, for an efficient matrix product."""

LARGEST = 1e100
"""Largest number in a fingerprint: squares, and sums of them, stay finite."""


@dataclass(frozen=True)
class Group:
    """Cells that count as equally many vectors.

    Attributes
    ----------
    cells
        All cells: a sequence of (n_atoms, d), or an array (n, n_atoms, d).
    members
        Which of them belong here, ascending.
    m
        Vectors of a cell.
    averaged
        True in mode "config".
    """

    cells: Sequence[Array] | Array
    members: np.ndarray
    m: int
    averaged: bool

    def stacks(self, support: Support) -> Iterator[tuple[np.ndarray, Array]]:
        """Iterate over members and the components S of their vectors (B, m, |S|), by blocks."""
        size = max(1, max(BLOCK_BYTES // (8 * max(1, len(support))), BLOCK_ROWS) // self.m)
        for start in range(0, len(self.members), size):
            which = self.members[start : start + size]
            yield which, self._stack(which, support)

    def _stack(self, which: np.ndarray, support: Support) -> Array:
        if isinstance(self.cells, np.ndarray):
            cells = np.asarray(self.cells[which[0] : which[-1] + 1], dtype=np.float64)
            # a mean's components are fewer to take than those of its atoms
            return support.take(weights(cells.shape[1]) @ cells if self.averaged else cells)
        chosen = [np.asarray(self.cells[index], dtype=np.float64) for index in which.tolist()]
        if not self.averaged:
            return np.array([support.take(q) for q in chosen])
        means = np.empty((len(chosen), 1, support.dim))
        # Copying cells of all sizes together first takes longer.
        for mean, q in zip(means, chosen, strict=True):
            np.dot(weights(len(q)), q, out=mean)
        return support.take(means)


def groups(cells: Sequence[Array] | Array, dim: int, mode: str) -> list[Group]:
    """Check the shapes of many cells and sort them by what they count as; no copy is made."""
    averaged = mode == "config"
    members = defaultdict(list)
    if isinstance(cells, np.ndarray):
        if cells.ndim != 3 or cells.shape[1] == 0 or cells.shape[2] != dim:
            needed = f"(n_candidates, n_atoms, {dim}), n_atoms at least 1"
            raise ValueError(
                f"candidates have shape {cells.shape}; as one array they must be {needed}"
            )
        return [Group(cells, np.arange(len(cells)), 1 if averaged else cells.shape[1], averaged)]
    shapes = list(map(np.shape, cells))
    for shape in set(shapes):
        check_shape(shape, dim)
    for index, shape in enumerate(shapes):
        members[1 if averaged else shape[0]].append(index)
    return [Group(cells, np.array(which), m, averaged) for m, which in members.items()]


def stacked(cells: Sequence[Array] | Array, dim: int) -> Sequence[Array] | Array:
    """Return cells of one vector each, such as means, as one array (n, 1, dim); others as given."""
    if isinstance(cells, np.ndarray) or not all(np.shape(q) == (1, dim) for q in cells):
        return cells
    return np.concatenate([np.zeros((0, dim)), *cells])[:, None]


def check_shape(shape: tuple[int, ...], dim: int) -> None:
    """Refuse what is not (n_atoms, dim)."""
    if len(shape) != 2 or shape[0] == 0 or shape[1] != dim:
        raise ValueError(
            f"fingerprints have shape {shape}; they must be (n_atoms, {dim}), n_atoms at least 1"
        )


def check_values(q: Array, name: str = "fingerprint") -> None:
    """Refuse fingerprints (n_atoms, dim) that are not finite, or whose squares may not be."""
    largest = np.abs(q).max(axis=1)
    worst = int(np.argmin(largest <= LARGEST))  # nan is not
    if not np.isfinite(largest[worst]):
        raise ValueError(f"{name} of atom {worst} is not finite")
    if not largest[worst] <= LARGEST:
        raise ValueError(
            f"{name} of atom {worst} reaches {largest[worst]:.3g}; it must not exceed {LARGEST:g}"
        )


@lru_cache(maxsize=64)
def weights(n_atoms: int) -> Array:
    """Return (1, n_atoms) whose product is the mean over atoms, in half the time of `mean`."""
    return np.full((1, n_atoms), 1 / n_atoms)
