"""Features of whole cells in a frozen kernel basis, and what a cell counts there.

    x = (q̄ − ⟨q̄⟩) / s,    φ = φ(x) of `basis`,    w = n / n̄                              (1)

Standardisation, landmarks, length and n̄ are of the reference set that the basis was drawn from.
None of them changes afterwards, so that sums over cells mean the same for ever. The basis is
identified by a hash of all its numbers.

=======  ==========================================================================================
symbol   meaning
=======  ==========================================================================================
q̄, n     mean fingerprint (d,) and number of atoms of a cell
⟨q̄⟩, s   `centre` and `spread` (d,), see `basis.standardisation`
n̄        `mean_size` of the reference set; None weighs all cells alike
=======  ==========================================================================================
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from entropy_flows.conventions import Array
from entropy_flows.digest import bytes_sha256
from entropy_flows.entropy.basis import KernelBasis, standardisation
from entropy_flows.entropy.blocks import check_shape, check_values

_HEADER = struct.Struct("<4sHIIIdd")
"""Magic, version, d, M, m, ℓ, n̄ (nan for None)."""
_MAGIC = b"EFKB"
_VERSION = 1


class CellMeans(NamedTuple):
    """Cells as far as a kernel between cells sees them."""

    means: Array
    """Mean fingerprint (n, d) of each."""
    sizes: Array
    """Number of atoms (n,) of each."""

    @classmethod
    def of(cls, cells: Sequence[Array]) -> Self:
        """Take the means of cells' fingerprints (n_atoms, d)."""
        means = np.array([np.asarray(q, dtype=np.float64).mean(axis=0) for q in cells])
        return cls(means, np.array([len(q) for q in cells], dtype=float))

    @classmethod
    def joined(cls, pieces: Sequence[CellMeans]) -> Self:
        """Put the cells of at least one piece behind one another."""
        means = np.concatenate([piece.means for piece in pieces])
        return cls(means, np.concatenate([piece.sizes for piece in pieces]))

    def take(self, indices: NDArray[np.intp] | slice) -> CellMeans:
        """Return some of the cells."""
        return CellMeans(self.means[indices], self.sizes[indices])


@dataclass(frozen=True, eq=False)
class CellBasis:
    """A kernel basis with the standardisation and the cell size that belong to it.

    Attributes
    ----------
    centre, spread
        ⟨q̄⟩ and s (d,).
    kernel
        Basis of standardised points.
    mean_size
        n̄; None weighs all cells alike.
    """

    centre: Array
    spread: Array
    kernel: KernelBasis
    mean_size: float | None

    @classmethod
    def drawn(
        cls,
        reference: CellMeans,
        landmarks: int,
        relative_length: float,
        by_size: bool = True,
    ) -> Self:
        """Draw a basis from a reference set; see `KernelBasis.drawn`.

        Parameters
        ----------
        reference
            Cells of the reference set.
        landmarks, relative_length
            M, and ℓ as a share of the median distance of two cells.
        by_size
            Whether cells weigh by their number of atoms.

        Raises
        ------
        ValueError
            If there are no cells.
        """
        centre, spread = standardisation(reference.means)
        kernel = KernelBasis.drawn((reference.means - centre) / spread, landmarks, relative_length)
        return cls(centre, spread, kernel, float(reference.sizes.mean()) if by_size else None)

    @property
    def dim(self) -> int:
        """Return the number m of features."""
        return self.kernel.dim

    def points(self, means: Array) -> Array:
        """Return x (n, d) of mean fingerprints (n, d)."""
        return (means - self.centre) / self.spread

    def features(self, means: Array) -> Array:
        """Return φ (n, m) of mean fingerprints (n, d)."""
        return self.kernel.features(self.points(means))

    def weights(self, sizes: Array) -> Array:
        """Return w (n,) of numbers of atoms (n,)."""
        if self.mean_size is None:
            return np.ones(len(sizes))
        return np.asarray(sizes, dtype=float) / self.mean_size

    def mean_of(self, q: Array) -> Array:
        """Return the mean (d,) of a cell's fingerprints (n_atoms, d), provided that it has one.

        Raises
        ------
        ValueError
            If the fingerprints have another length, or a number is not finite.
        """
        q = np.asarray(q, dtype=np.float64)
        check_shape(q.shape, len(self.centre))
        check_values(q)
        mean: Array = q.mean(axis=0)
        return mean

    def pull_back(self, mean: Array, derivative: Array) -> Array:
        """Return ∂f/∂q̄ (d,), given ∂f/∂φ (m,) at a mean fingerprint (d,)."""
        point = self.points(mean[None])[0]
        return self.kernel.pull_back(point, derivative) / self.spread

    def to_bytes(self) -> bytes:
        """Write the numbers of the basis, little-endian."""
        size = np.nan if self.mean_size is None else self.mean_size
        kernel = self.kernel
        n_landmarks = len(kernel.landmarks)
        header = _HEADER.pack(
            _MAGIC, _VERSION, len(self.centre), n_landmarks, self.dim, kernel.length, size
        )
        arrays = (self.centre, self.spread, kernel.landmarks, kernel.whitener)
        return header + b"".join(np.asarray(each, dtype="<f8").tobytes() for each in arrays)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read what `to_bytes` wrote, to the last bit.

        Raises
        ------
        ValueError
            If the data are not what was written.
        """
        if len(data) < _HEADER.size or data[:4] != _MAGIC:
            raise ValueError(f"{len(data)} bytes that do not begin with {_MAGIC!r} are no basis")
        _, version, d, n_landmarks, dim, length, size = _HEADER.unpack_from(data)
        shapes = [(d,), (d,), (n_landmarks, d), (n_landmarks, dim)]
        counts = [int(np.prod(shape)) for shape in shapes]
        numbers = np.frombuffer(data, dtype="<f8", offset=_HEADER.size).astype(np.float64)
        if version != _VERSION or len(numbers) != sum(counts):
            raise ValueError(f"{len(data)} bytes are no basis of version {_VERSION}")
        pieces = np.split(numbers, np.cumsum(counts)[:-1])
        centre, spread, landmarks, whitener = (
            piece.reshape(shape) for piece, shape in zip(pieces, shapes, strict=True)
        )
        kernel = KernelBasis(landmarks, length, whitener)
        return cls(centre, spread, kernel, None if np.isnan(size) else size)

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the numbers in hex."""
        return bytes_sha256(self.to_bytes())
