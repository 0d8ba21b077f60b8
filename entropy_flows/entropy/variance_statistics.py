"""What a data set leaves unknown of a target: a `Criterion` of cells, from sums.

    V(D) = tr(A⁻¹ T) + (1 − tr T)    with A over the data set and T over the target             (1)

A and T are those of `variance`, in the features of one frozen `CellBasis`. A is a sum over the
data set's cells, so that data sets merge, and T is any other distribution's.

    ∂gain/∂q_i = (1/n) ∂gain/∂q̄                                                                (2)

for each of a cell's n atoms: all of them have the same share in the mean fingerprint q̄.

Beside these second moments are the first,

    S = Σ_{c ∈ D} φ_c,        distance² = |μ|² − 2 μ·S/n + |S|²/n²                               (3)

the maximum mean discrepancy of target and data set in these features: how far the data set is from
being a sample of the target (Gretton et al., J. Mach. Learn. Res. 13, 723, 2012).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Self

import numpy as np

from entropy_flows.conventions import Array
from entropy_flows.entropy.cell_basis import CellBasis, CellMeans
from entropy_flows.entropy.checksum import checked_payload, checksum_of, with_checksum
from entropy_flows.entropy.variance import TargetMoments, TargetVariance
from entropy_flows.summary import Summarised, Summary

_HEADER = struct.Struct("<4sHIQd32s")
"""Magic, version, m, n, σ², hash of the basis."""
_MAGIC = b"EFVS"
_VERSION = 2


class VarianceStatistics(Summarised):
    """Data set and target in a frozen basis, equation (1).

    Parameters
    ----------
    basis
        Features of cells, and what each counts.
    target
        μ and T in this basis; `of_target` makes them of the target's cells.
    noise
        σ² > 0 of a label.

    Attributes
    ----------
    target
        μ and T.
    n
        Number of cells in the data set.
    total
        S (m,), equation (3).
    variance
        A and T, with what follows from them.
    """

    is_of_means = False  # a cell's weight depends on its number of atoms

    def __init__(self, basis: CellBasis, target: TargetMoments, noise: float) -> None:
        self.basis = basis
        self.target = target
        self.n = 0
        self.total = np.zeros(basis.dim)
        self.variance = TargetVariance(target.matrix, noise)

    @classmethod
    def of_target(
        cls, basis: CellBasis, target: CellMeans, noise: float, weights: Array | None = None
    ) -> Self:
        """Begin an empty data set for a target of these cells.

        Parameters
        ----------
        basis
            Features of cells.
        target
            Cells of the target.
        noise
            σ² of a label.
        weights
            Weights (n,) of the target's cells; None weighs all alike.
        """
        return cls(basis, TargetMoments.of(basis.features(target.means), weights), noise)

    def summary(self) -> Summary:
        """Return what shells and notebooks show: cells, basis, noise, and what is unknown."""
        return Summary(
            title=f"{type(self).__name__} of {self.n} cells",
            short=f"n={self.n}, m={self.basis.dim}, noise={self.noise:g}",
            lines=[
                ("features", f"{self.basis.dim}, in basis {self.basis.hash[:12]}"),
                ("noise σ²", f"{self.noise:g}"),
                ("unknown of the target, V", f"{100 * self.value():.3g} %"),
                ("distance from the target", f"{self.distance():.3g}"),
            ],
        )

    @property
    def noise(self) -> float:
        """σ² of a label."""
        return self.variance.noise

    def copy(self) -> Self:
        """Return an independent copy; the basis is shared."""
        twin = type(self)(self.basis, self.target, self.noise)
        twin.n = self.n
        twin.total = self.total.copy()
        twin.variance = self.variance.copy()
        return twin

    def for_target(self, target: TargetMoments) -> Self:
        """Return the same data set beside another target."""
        twin = type(self)(self.basis, target, self.noise)
        twin.n = self.n
        twin.total = self.total.copy()
        twin.variance = TargetVariance(target.matrix, self.noise, self.variance.precision.copy())
        return twin

    def value(self) -> float:
        """Return V, the share of the target that is not known."""
        return self.variance.value()

    def distance(self) -> float:
        """Return the maximum mean discrepancy of target and data set, equation (3)."""
        return float(np.linalg.norm(self.target.mean - self.total / max(1, self.n)))

    def gain(self, q: Array) -> float:
        """Return what a cell with fingerprints q (n_atoms, d) takes off V."""
        return float(self.gains([q])[0])

    def gains(self, candidates: Sequence[Array] | Array) -> Array:
        """Return what each of some cells takes off V (n_candidates,), alone.

        Cells of any sizes as a list of (n_atoms, d), or cells of one size as one array
        (n_candidates, n_atoms, d).
        """
        if not len(candidates):
            return np.empty(0)
        means = np.array([self.basis.mean_of(q) for q in candidates])
        sizes = np.array([len(q) for q in candidates], dtype=float)
        return self.gains_of(CellMeans(means, sizes))

    def gains_of(self, cells: CellMeans) -> Array:
        """Return what each of some cells takes off V (n,), given their means alone."""
        features = self.basis.features(cells.means)
        return self.variance.gains(features, self.basis.weights(cells.sizes))

    def gradient(self, q: Array) -> Array:
        """Return ∂gain/∂q (n_atoms, d), equation (2)."""
        mean = self.basis.mean_of(q)
        feature = self.basis.features(mean[None])[0]
        weight = float(self.basis.weights(np.array([len(q)]))[0])
        slope = self.basis.pull_back(mean, self.variance.gradient(feature, weight))
        return np.tile(slope / len(q), (len(q), 1))

    def add(self, q: Array) -> None:
        """Add one cell, given its fingerprints (n_atoms, d), in place."""
        self.admit(q)

    def admit(self, q: Array) -> float:
        """Add one cell, given its fingerprints (n_atoms, d), and return what it took off V."""
        mean = self.basis.mean_of(q)
        feature = self.basis.features(mean[None])[0]
        # yᵀ T y of the step is the gain of the cell that made it
        return self.take(feature, float(self.basis.weights(np.array([len(q)]))[0]))[2]

    def append(self, feature: Array, weight: float) -> None:
        """Add one cell, given its features (m,) and weight; see `TargetVariance.append`."""
        self.n += 1
        self.total = self.total + feature
        self.variance.append(feature, weight)

    def take(self, feature: Array, weight: float) -> tuple[Array, Array, float]:
        """Add one cell, given its features (m,) and weight; see `TargetVariance.add`."""
        self.n += 1
        self.total = self.total + feature
        return self.variance.add(feature, weight)

    def add_cells(self, cells: CellMeans) -> None:
        """Add cells at once, given their means, in place."""
        if len(cells.means):
            features = self.basis.features(cells.means)
            self.variance.add_all(features, self.basis.weights(cells.sizes))
            self.n += len(cells.means)
            self.total = self.total + features.sum(axis=0)

    def merge(self, other: VarianceStatistics) -> None:
        """Add the cells of another data set, in place; the target stays.

        Raises
        ------
        ValueError
            If the other has another basis or another noise.
        """
        if other.basis.hash != self.basis.hash:
            raise ValueError(
                f"cannot merge statistics in basis {other.basis.hash[:12]} into those in "
                f"{self.basis.hash[:12]}"
            )
        if other.noise != self.noise:
            raise ValueError(
                f"cannot merge statistics of noise {other.noise:g} into those of {self.noise:g}"
            )
        summed = self.variance.precision + other.variance.precision - np.eye(self.basis.dim)
        self.variance = TargetVariance(self.target.matrix, self.noise, summed)
        self.n += other.n
        self.total = self.total + other.total

    def to_bytes(self) -> bytes:
        """Write the content beside the basis: equal content gives equal bytes.

        A little-endian header with the hash of the basis, S and μ, the upper triangles of A and T
        by rows, and a SHA-256 of all these.
        """
        rows, columns = np.triu_indices(self.basis.dim)
        triangles = (self.variance.precision[rows, columns], self.target.matrix[rows, columns])
        pieces = (self.total, self.target.mean, *triangles)
        numbers = np.concatenate(pieces).astype("<f8") + 0.0  # -0 is 0
        header = _HEADER.pack(
            _MAGIC, _VERSION, self.basis.dim, self.n, self.noise, bytes.fromhex(self.basis.hash)
        )
        payload = header + numbers.tobytes()
        return with_checksum(payload)

    @classmethod
    def from_bytes(cls, data: bytes, basis: CellBasis) -> Self:
        """Read what `to_bytes` wrote.

        Parameters
        ----------
        data
            The bytes.
        basis
            The basis that they are in.

        Raises
        ------
        ValueError
            If the data are not what was written, or are in another basis.
        """
        payload = checked_payload(data, _HEADER, _MAGIC, "variance statistics")
        _, version, dim, n, noise, basis_hash = _HEADER.unpack_from(payload)
        if version != _VERSION:
            raise ValueError(
                f"variance statistics have format version {version}; this code reads {_VERSION}"
            )
        if basis_hash.hex() != basis.hash:
            raise ValueError(
                f"variance statistics are in basis {basis_hash.hex()[:12]}, not {basis.hash[:12]}"
            )
        numbers = np.frombuffer(payload, dtype="<f8", offset=_HEADER.size).astype(np.float64)
        total, mean, triangles = np.split(numbers, [dim, 2 * dim])
        precision, matrix = (_symmetric(half, dim) for half in np.split(triangles, 2))
        statistics = cls(basis, TargetMoments(mean, matrix), noise)
        statistics.n = n
        statistics.total = total
        statistics.variance = TargetVariance(matrix, noise, precision)
        return statistics

    def checksum(self) -> str:
        """Return the SHA-256 of the content in hex, equal only for statistics equal to the bit."""
        return checksum_of(self.to_bytes())


def _symmetric(triangle: Array, dim: int) -> Array:
    """Return the symmetric matrix (m, m) of an upper triangle by rows."""
    matrix = np.zeros((dim, dim))
    rows, columns = np.triu_indices(dim)
    matrix[rows, columns] = triangle
    matrix[columns, rows] = triangle
    return matrix
