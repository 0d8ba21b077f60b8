"""Pairs of atoms that are kept while the atoms move.

A search out to r_c + w finds all pairs within r_c for as long as no atom has moved by more than
w/2 (Verlet, Phys. Rev. 159, 98 (1967)). Whether one has is known on the device: a GPU's host learns
it together with what else it reads back, after the pairs were used, and does the step again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from torch import Tensor

T = TypeVar("T")


class Skin:
    """Keep what was made from the pairs within a cutoff and the width of the skin around it.

    Whoever gives cells a skin looks at `displacement` after each use. Where it is beyond w/2,
    they call `forget` and compute again.

    Parameters
    ----------
    width
        w (Å).
    """

    def __init__(self, width: float) -> None:
        self.width = width
        self._origin: Tensor | None = None
        self._tables: dict[Any, Any] = {}

    def tables(self, key: Any, positions: Tensor, build: Callable[[], T]) -> T:
        """Return what is kept under a key, built for these positions (n, 3) if there is nothing."""
        if key not in self._tables:
            if self._origin is None:
                self._origin = positions
            if self._origin is not positions:
                raise ValueError("pairs for one skin must be found at the same positions")
            self._tables[key] = build()
        table: T = self._tables[key]
        return table

    def displacement(self, positions: Tensor) -> Tensor | None:
        """Return the largest displacement (Å) since the pairs were found; None if it was here."""
        if self._origin is None or self._origin is positions:
            return None
        return (positions - self._origin).norm(dim=1).amax()

    def forget(self) -> None:
        """Have the pairs found again when they are next asked for."""
        self._origin = None
        self._tables = {}
