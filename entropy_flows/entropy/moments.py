"""Number, mean and scatter of a stream of vectors, and the bytes that they are stored as.

    N' = N + m,    μ' = μ + (m/N') (ν − μ),    C' = C + C_m + (N m/N') (ν − μ)(ν − μ)ᵀ           (1)

for m more vectors with mean ν and scatter C_m. They are kept for the components S that were
populated (`support`).
"""

from __future__ import annotations

import struct
from typing import Literal, Self

import numpy as np

from entropy_flows.conventions import Array
from entropy_flows.entropy.checksum import checked_payload, checksum_of, with_checksum
from entropy_flows.entropy.support import Components, Support
from entropy_flows.summary import Summarised, Summary

Mode = Literal["atom", "config"]
MODES: tuple[Mode, ...] = ("atom", "config")

_HEADER = struct.Struct("<4sHHIQdI")
"""Magic, version, mode, d, N, λ, number of populated components."""
_MAGIC = b"EFSS"
_VERSION = 2


class Moments(Summarised):
    """N, μ and C of a dataset's fingerprints: sums, so that data sets merge.

    Parameters
    ----------
    dim
        d, length of a fingerprint.
    regularization
        λ > 0.
    mode
        "atom": every atom's fingerprint counts. "config": a cell counts as one vector, its atoms'
        mean.
    """

    def __init__(self, dim: int, regularization: float = 1e-3, mode: Mode = "atom") -> None:
        if not dim >= 1:
            raise ValueError(f"dim is {dim}; it must be at least 1")
        if not (np.isfinite(regularization) and regularization > 0):
            raise ValueError(f"regularization is {regularization}; it must be finite and positive")
        if mode not in MODES:
            raise ValueError(f"mode is {mode!r}; it must be one of {MODES}")
        self.dim = int(dim)
        self.regularization = float(regularization)
        self.mode = mode
        self.n = 0
        """Vectors seen: atoms or cells, as the mode says."""
        self._support = Support.empty(self.dim)
        self._mean = np.zeros(0)
        self._scatter = np.zeros((0, 0))

    def summary(self) -> Summary:
        """Return what shells and notebooks show: the settings, and how much was seen."""
        settings = f"dim={self.dim}, regularization={self.regularization:g}, mode={self.mode!r}"
        vectors = "atoms" if self.mode == "atom" else "cells"
        return Summary(
            title=f"{type(self).__name__} of {self.n} {vectors}",
            short=f"{settings}, n={self.n}",
            lines=[
                ("components", f"{self.dim}, {len(self.populated)} of them populated"),
                ("λ", f"{self.regularization:g}"),
                ("mode", "per atom" if self.mode == "atom" else "per configuration"),
            ],
        )

    @property
    def mean(self) -> Array:
        """μ (d,)."""
        return self._support.spread(self._mean)

    @property
    def populated(self) -> Components:
        """Components, ascending, in which not all vectors are 0."""
        return self._support.components[(self._mean != 0) | self._scatter.any(axis=0)]

    def moments(self, components: Components) -> tuple[Array, Array]:
        """Return μ (k,) and C/N (k, k) of some components."""
        self._cover(components)
        positions = self._support.positions(components)
        return self._mean[positions], self._scatter[np.ix_(positions, positions)] / max(self.n, 1)

    def covariance(self) -> Array:
        """Return Σ (d, d), the regularization included; d² numbers, whatever is populated."""
        covariance = self.regularization * np.eye(self.dim)
        components = self._support.components
        covariance[np.ix_(components, components)] += self._scatter / max(self.n, 1)
        return covariance

    def merge(self, other: Moments) -> None:
        """Add another dataset, in place: the result is that of one with the cells of both."""
        for name in ("dim", "regularization", "mode"):
            value = getattr(self, name)
            other_value = getattr(other, name)
            if value != other_value:
                raise ValueError(
                    f"cannot merge statistics of {name} {other_value!r} into those of "
                    f"{name} {value!r}"
                )
        if other.n:
            self._cover(other._support.components)
            positions = self._support.positions(other._support.components)
            self._absorb(other.n, positions, other._mean, other._scatter)

    def copy(self) -> Self:
        """Return an independent copy."""
        twin = type(self)(self.dim, self.regularization, self.mode)
        twin.n = self.n
        twin._mean = self._mean.copy()
        twin._scatter = self._scatter.copy()
        twin._support = self._support  # never changed, only replaced
        return twin

    def to_bytes(self) -> bytes:
        """Write the content: equal content gives equal bytes.

        The order in which the components were populated makes no difference. A little-endian
        header, the populated components, their mean, the upper triangle of their scatter by rows,
        and a SHA-256 of all these.
        """
        components = self.populated
        positions = self._support.positions(components)
        mode = MODES.index(self.mode)
        header = _HEADER.pack(
            _MAGIC, _VERSION, mode, self.dim, self.n, self.regularization, len(components)
        )
        triangle = self._scatter[np.ix_(positions, positions)][np.triu_indices(len(components))]
        numbers = np.concatenate([self._mean[positions], triangle]).astype("<f8") + 0.0  # -0 is 0
        payload = header + components.astype("<u4").tobytes() + numbers.tobytes()
        return with_checksum(payload)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read what `to_bytes` wrote, to the last bit.

        Raises
        ------
        ValueError
            If the data are not what was written.
        """
        payload = checked_payload(data, _HEADER, _MAGIC, "sufficient statistics")
        _, version, mode, dim, n, regularization, count = _HEADER.unpack_from(payload)
        if version != _VERSION:
            raise ValueError(
                f"sufficient statistics have format version {version}; this code reads {_VERSION}"
            )
        components = np.frombuffer(payload, dtype="<u4", offset=_HEADER.size, count=count).astype(
            np.intp
        )
        numbers = np.frombuffer(payload, dtype="<f8", offset=_HEADER.size + 4 * count).astype(
            np.float64
        )
        statistics = cls(dim, regularization, MODES[mode])
        statistics._cover(components)
        statistics.n = n
        statistics._mean = numbers[:count].copy()
        rows, columns = np.triu_indices(count)
        statistics._scatter[rows, columns] = statistics._scatter[columns, rows] = numbers[count:]
        return statistics

    def checksum(self) -> str:
        """Return the SHA-256 of the content in hex, equal only for statistics equal to the bit."""
        return checksum_of(self.to_bytes())

    def _cover(self, components: Components) -> None:
        """Let S have these components as well: arrays become longer, and nothing else changes."""
        if not self._support.covers(components):
            self._extend(self._support.united(components))

    def _extend(self, support: Support) -> None:
        """Let S grow; it is 0 in what is new."""
        positions = support.positions(self._support.components)
        mean = np.zeros(len(support))
        mean[positions] = self._mean
        scatter = np.zeros((len(support), len(support)))
        scatter[np.ix_(positions, positions)] = self._scatter
        self._support = support
        self._mean = mean
        self._scatter = scatter

    def _absorb(self, m: int, positions: Components, mean: Array, scatter: Array) -> None:
        """Update N, μ and C by equation (1), given m, ν and C_m at some positions of S."""
        total = self.n + m
        added_mean = np.zeros(len(self._support))
        added_mean[positions] = mean
        step = added_mean - self._mean
        of_means = np.outer(step, step)
        of_means *= self.n * m / total
        self._scatter += of_means
        if len(positions) == len(self._support):
            self._scatter += scatter
        else:
            self._scatter[np.ix_(positions, positions)] += scatter
        self._mean = added_mean if self.n == 0 else self._mean + (m / total) * step
        self.n = total
