"""The protocol of a measure of a data set, which says what a further cell is worth.

`SufficientStatistics` implements it with log det Σ, `VarianceStatistics` with what is unknown of a
target (its gain is what a cell takes off). Another measure takes their place in a selector, a bias
or a refinement if it has the same methods.

===============  ==================================================================
method           meaning
===============  ==================================================================
`is_of_means`    whether a cell counts by its mean fingerprint alone
`value()`        measure of the data set D
`gain(q)`        value of D with the cell added, less the value of D
`gains(cells)`   gains of many cells, each alone
`gradient(q)`    exact derivative of the gain with respect to q
`add(q)`         let the cell into D
`to_bytes()`     everything that determines the gains, to be stored
===============  ==================================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from entropy_flows.conventions import Array


@runtime_checkable
class Criterion(Protocol):
    """A measure of a data set; q are the fingerprints (n_atoms, dim) of a cell."""

    n: int
    """Number of vectors in the data set."""

    @property
    def is_of_means(self) -> bool:
        """Tell whether a cell counts by its mean alone, and gains take that (1, dim) for it."""
        ...

    def value(self) -> float:
        """Return the measure of the data set."""
        ...

    def gain(self, q: Array) -> float:
        """Return the change of the measure if a cell is added."""
        ...

    def gains(self, candidates: Sequence[Array] | Array) -> Array:
        """Return the gains (n_candidates,) of adding each of the cells alone."""
        ...

    def gradient(self, q: Array) -> Array:
        """Return the derivative (n_atoms, dim) of the gain with respect to q."""
        ...

    def add(self, q: Array) -> None:
        """Add a cell in place."""
        ...

    def to_bytes(self) -> bytes:
        """Return everything that determines the gains."""
        ...
