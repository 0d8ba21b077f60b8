"""Fingerprints of a pool, batch after batch, and of the data set that it is compared with."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from ase import Atoms
from pydantic import TypeAdapter
from scipy.spatial import cKDTree

from entropy_flows.conventions import Array
from entropy_flows.entropy import MODES, Mode, SufficientStatistics
from entropy_flows.fingerprints import (
    FingerprintBase,
    FingerprintParams,
    FingerprintSettings,
    make_fingerprint,
)
from entropy_flows.frames.pool import FramePool, Progress

BATCH_CELLS = 256
"""Cells of a batch at most."""
BATCH_ATOMS = 8192
"""Atoms of a batch at most, unless one cell has more."""
COPY_TOLERANCE = 1e-5
"""Relative distance of two mean fingerprints up to which the cells are the same; a dump of six
digits is as far from its frame.
"""
MAX_PAIRS = 4
"""Elements up to which the default fingerprint has a matrix for each pair of them."""
CUTOFF = 4.5
NATX = 64
"""Eigenvalues of a matrix of the default fingerprint."""


class UnlistedElementsError(ValueError):
    """A pool has elements that its first frames did not have."""


class FingerprintBatch(NamedTuple):
    """Frames whose fingerprints were computed together."""

    numbers: list[int]
    """Number of each in the pool."""
    prints: list[Array]
    """Fingerprints (n_atoms, dim) of each."""


def symbols_of(cells: Iterable[Atoms]) -> set[str]:
    """Return the elements of cells."""
    return {symbol for atoms in cells for symbol in atoms.symbols}


def frame_fingerprint(choice: Any, symbols: Iterable[str]) -> FingerprintBase:
    """Make the fingerprint that frames are compared by.

    Parameters
    ----------
    choice
        A fingerprint, its parameters, a mapping of them, or the name of a kind. None takes GOM with
        64 eigenvalues within 4.5 Å: a matrix for each pair of elements, or, of more than four
        elements, for each element around the atom.
    symbols
        Elements of the frames, if the choice does not name them.
    """
    if isinstance(choice, FingerprintBase):
        return choice
    elements = tuple(sorted(symbols))
    if choice is None:
        species = "pairs" if len(elements) <= MAX_PAIRS else "center"
        choice = {"kind": "gom", "cutoff": CUTOFF, "natx": NATX, "species": species}
    if isinstance(choice, FingerprintSettings):
        choice = choice.model_dump(exclude_unset=True) | {"kind": getattr(choice, "kind", "gom")}
    settings = {"kind": choice} if isinstance(choice, str) else dict(choice)
    params = TypeAdapter(FingerprintParams).validate_python({"elements": elements} | settings)
    return make_fingerprint(params)


def fingerprint_batches(
    pool: FramePool,
    fingerprint: FingerprintBase,
    progress: Progress,
    title: str,
    numbers: Collection[int] | None = None,
) -> Iterator[FingerprintBatch]:
    """Compute the fingerprints of a pool's frames, batch after batch.

    Frames that have no fingerprint are counted as unusable. `numbers` are those of the frames to
    take; None takes all.

    Raises
    ------
    UnlistedElementsError
        If a frame has an element that the fingerprint does not list.
    """
    total = len(pool)
    for batch, cells in _batches(pool.cells(numbers)):
        _check_elements(cells, fingerprint)
        yield _fingerprinted(pool, batch, cells, fingerprint)
        progress(title, batch[-1] + 1, total)
    progress(title, total, total)


def _batches(cells: Iterable[tuple[int, Atoms]]) -> Iterator[tuple[list[int], list[Atoms]]]:
    """Gather cells up to the size of a batch."""
    numbers: list[int] = []
    batch: list[Atoms] = []
    n_atoms = 0
    for number, atoms in cells:
        if batch and (len(batch) == BATCH_CELLS or n_atoms + len(atoms) > BATCH_ATOMS):
            yield numbers, batch
            numbers = []
            batch = []
            n_atoms = 0
        numbers.append(number)
        batch.append(atoms)
        n_atoms += len(atoms)
    if batch:
        yield numbers, batch


def _check_elements(cells: Sequence[Atoms], fingerprint: FingerprintBase) -> None:
    listed = fingerprint.params.elements
    symbols = {atoms.numbers.tobytes(): atoms for atoms in cells}
    unlisted = sorted(symbols_of(symbols.values()) - set(listed))
    if unlisted:
        raise UnlistedElementsError(
            f"there is {', '.join(unlisted)}; the fingerprint lists {', '.join(listed)}"
        )


def _fingerprinted(
    pool: FramePool, numbers: list[int], cells: list[Atoms], fingerprint: FingerprintBase
) -> FingerprintBatch:
    """Compute fingerprints in one call; if a cell has none, one by one."""
    try:
        return FingerprintBatch(numbers, fingerprint(cells))
    except ValueError as err:
        if len(cells) == 1:
            pool.leave_out(numbers[0], f"no fingerprint: {err}")
            return FingerprintBatch([], [])
    singles = [
        _fingerprinted(pool, [number], [atoms], fingerprint)
        for number, atoms in zip(numbers, cells, strict=True)
    ]
    return FingerprintBatch(
        list(chain.from_iterable(single.numbers for single in singles)),
        list(chain.from_iterable(single.prints for single in singles)),
    )


@dataclass(frozen=True, eq=False)
class DataSetSummary:
    """The data set, as far as a choice has to know it.

    Attributes
    ----------
    statistics
        Mode → statistics of its cells.
    means
        Mean fingerprint (n, dim) of each.
    sizes
        Number of atoms (n,) of each.
    """

    statistics: dict[Mode, SufficientStatistics]
    means: Array
    sizes: Array

    @classmethod
    def of(
        cls,
        pool: FramePool,
        fingerprint: FingerprintBase,
        regularization: float,
        progress: Progress,
    ) -> DataSetSummary:
        """Read the data set."""
        means = []
        sizes = []
        statistics: dict[Mode, SufficientStatistics] = {}
        for batch in fingerprint_batches(pool, fingerprint, progress, "reading what is known"):
            for q in batch.prints:
                means.append(q.mean(axis=0))
                sizes.append(len(q))
                if not statistics:
                    statistics = _empty(q.shape[1], regularization)
                for stats in statistics.values():
                    stats.add(q)
        if not means:
            nothing = _empty(fingerprint.dim, regularization)
            return cls(nothing, np.empty((0, fingerprint.dim)), np.empty(0))
        return cls(statistics, np.array(means), np.array(sizes, dtype=float))

    def __len__(self) -> int:
        """Return the number of cells."""
        return len(self.means)


class CopyFinder:
    """Tells which cells are in a data set already.

    A copy has the same mean fingerprint: the cell may be turned, shifted, or have its atoms in
    another order.
    """

    def __init__(self, means: Array) -> None:
        self._tree = cKDTree(means) if len(means) else None

    def are_copies(self, means: Array) -> np.ndarray:
        """Return a mask (n,) of the cells with these mean fingerprints (n, dim)."""
        if self._tree is None or not len(means):
            return np.zeros(len(means), dtype=bool)
        limits = COPY_TOLERANCE * np.linalg.norm(means, axis=1)
        distances = self._tree.query(means, distance_upper_bound=limits.max() * (1 + 1e-12))[0]
        return distances <= limits


def _empty(dim: int, regularization: float) -> dict[Mode, SufficientStatistics]:
    return {mode: SufficientStatistics(dim, regularization, mode) for mode in MODES}
