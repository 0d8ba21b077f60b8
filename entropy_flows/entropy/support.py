"""The components of a fingerprint that statistics are kept over.

With several elements most components are 0 for every atom: a spectrum has as many eigenvalues as
its matrix has rows, and 0 beyond. Such a component has mean and scatter 0 and is not correlated
with any other, so

    log det Σ = log det Σ_SS + (d − |S|) log λ                                                   (1)

where S may be any set of components that has all that were ever populated in it. A gain has no part
from the others, and neither has its derivative: Σ is even in a component that is new, so that
∂ΔH/∂q = 0 where q and all data are 0.

=======  ==============================================
symbol   meaning
=======  ==============================================
d        length of a fingerprint
S        `components`, ascending
Σ_SS     the rows and columns S of Σ
λ        regularisation: Σ = λ I for the others
=======  ==============================================
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from entropy_flows.conventions import Array

Components = NDArray[np.intp]
"""Numbers of components."""
BLOCK_ELEMENTS = 2**20
"""Numbers of an array that are compared with 0 at once."""


class Support:
    """A set S of components; never changed, so that copies may share it.

    Parameters
    ----------
    dim
        d.
    components
        S, ascending.
    """

    def __init__(self, dim: int, components: Components) -> None:
        self.dim = dim
        self.components = components
        self._contains = np.zeros(dim, dtype=bool)
        self._contains[components] = True

    def __len__(self) -> int:
        return len(self.components)

    @classmethod
    def empty(cls, dim: int) -> Support:
        """Return the set of no components."""
        return cls(dim, np.empty(0, dtype=np.intp))

    def covers(self, components: Components) -> bool:
        """Return whether all these are in S."""
        return bool(self._contains[components].all())

    def united(self, components: Components) -> Support:
        """Return S with these added."""
        contains = self._contains.copy()
        contains[components] = True
        return Support(self.dim, np.flatnonzero(contains))

    def positions(self, components: Components) -> Components:
        """Return the positions within S of some of its components."""
        return np.searchsorted(self.components, components)

    def take(self, q: Array) -> Array:
        """Return the components S (…, |S|) of vectors (…, d); without a copy if S has all."""
        # Not by np.take: components are outermost in memory here, so that sums over them go in
        # their order, and have the same bits when S grows by components that a vector has not.
        return q if len(self) == self.dim else q[..., self.components]

    def spread(self, x: Array) -> Array:
        """Return vectors (…, d) that have x (…, |S|) in S and 0 elsewhere."""
        q = np.zeros((*x.shape[:-1], self.dim))
        q[..., self.components] = x
        return q


def populated(q: Array) -> Components:
    """Return the components, ascending, that some vector of (n, d) has; nan is not 0."""
    return np.flatnonzero((q != 0).any(axis=0))


def populated_in(cells: Sequence[Array] | Array, dim: int) -> Components:
    """Return the components, ascending, that some cell has, given its vectors (m, dim)."""
    is_populated = np.zeros(dim, dtype=bool)
    if isinstance(cells, np.ndarray):
        block = max(1, BLOCK_ELEMENTS // max(1, cells[:1].size))
        for start in range(0, len(cells), block):
            is_populated |= (cells[start : start + block] != 0).any(axis=(0, 1))
    else:
        for q in cells:
            is_populated |= (np.asarray(q) != 0).any(axis=0)
    return np.flatnonzero(is_populated)
