"""Number, mean and scatter of a stream of vectors, and the bytes that they are kept as.

    N' = N + m,    μ' = μ + (m/N') (ν − μ),    C' = C + C_m + (N m/N') (ν − μ)(ν − μ)ᵀ                               (1)

for m more vectors with mean ν and scatter C_m. They are kept for the components S that were
populated (`support`).
"""

from __future__ import annotations

import hashlib
import struct
from typing import Literal, Self

import numpy as np

from entropy_flows.conventions import Array
from entropy_flows.entropy.support import Components, Support

Mode = Literal["atom", "config"]
MODES: tuple[Mode, ...] = ("atom", "config")

_HEADER = struct.Struct(
    "<4sHHIQdI"
)  # magic, version, mode, d, N, λ, number of populated components
_MAGIC, _VERSION = b"EFSS", 2
_DIGEST = hashlib.sha256().digest_size


class Moments:
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
        self.dim, self.regularization, self.mode = int(dim), float(regularization), mode
        self.n = 0
        """Vectors seen: atoms or cells, as the mode says."""
        self._support = Support.empty(self.dim)
        self._mean = np.zeros(0)
        self._scatter = np.zeros((0, 0))

    def __repr__(self) -> str:
        settings = f"dim={self.dim}, regularization={self.regularization:g}, mode={self.mode!r}"
        return f"{type(self).__name__}({settings}, n={self.n})"

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
        places = self._support.places(components)
        return self._mean[places], self._scatter[np.ix_(places, places)] / max(self.n, 1)

    def covariance(self) -> Array:
        """Return Σ (d, d), the regularization included; d² numbers, whatever is populated."""
        covariance = self.regularization * np.eye(self.dim)
        components = self._support.components
        covariance[np.ix_(components, components)] += self._scatter / max(self.n, 1)
        return covariance

    def merge(self, other: Moments) -> None:
        """Add another dataset, in place: the result is that of one dataset holding the cells of both."""
        for name in ("dim", "regularization", "mode"):
            ours, theirs = getattr(self, name), getattr(other, name)
            if ours != theirs:
                raise ValueError(
                    f"cannot merge statistics of {name} {theirs!r} into those of {name} {ours!r}"
                )
        if other.n:
            self._cover(other._support.components)
            places = self._support.places(other._support.components)
            self._absorb(other.n, places, other._mean, other._scatter)

    def copy(self) -> Self:
        """Independent copy."""
        twin = type(self)(self.dim, self.regularization, self.mode)
        twin.n = self.n
        twin._mean = self._mean.copy()
        twin._scatter = self._scatter.copy()
        twin._support = self._support  # never changed, only replaced
        return twin

    def to_bytes(self) -> bytes:
        """Write the content: equal content gives equal bytes, in whatever order the components were populated.

        A little-endian header, the populated components, their mean, the upper triangle of their
        scatter by rows, and a SHA-256 of all these.
        """
        components = self.populated
        places = self._support.places(components)
        mode = MODES.index(self.mode)
        header = _HEADER.pack(
            _MAGIC, _VERSION, mode, self.dim, self.n, self.regularization, len(components)
        )
        triangle = self._scatter[np.ix_(places, places)][np.triu_indices(len(components))]
        numbers = np.concatenate([self._mean[places], triangle]).astype("<f8") + 0.0  # -0 is 0
        payload = header + components.astype("<u4").tobytes() + numbers.tobytes()
        return payload + hashlib.sha256(payload).digest()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Inverse of `to_bytes`, to the last bit; a ValueError if the data are not what was written."""
        payload, digest = data[:-_DIGEST], data[-_DIGEST:]
        if len(payload) < _HEADER.size or payload[:4] != _MAGIC:
            raise ValueError(
                f"{len(data)} bytes that do not begin with {_MAGIC!r} are no sufficient statistics"
            )
        if hashlib.sha256(payload).digest() != digest:
            raise ValueError("sufficient statistics are damaged: their checksum does not match")
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
        """SHA-256 of the content in hex: equal if and only if the statistics are equal to the last bit."""
        return self.to_bytes()[-_DIGEST:].hex()

    def _cover(self, components: Components) -> None:
        """Let S have these components as well: nothing changes but the length of what is kept."""
        if not self._support.covers(components):
            self._extend(self._support.united(components))

    def _extend(self, support: Support) -> None:
        """Let S grow; it is 0 in what is new."""
        places = support.places(self._support.components)
        mean = np.zeros(len(support))
        mean[places] = self._mean
        scatter = np.zeros((len(support), len(support)))
        scatter[np.ix_(places, places)] = self._scatter
        self._support = support
        self._mean = mean
        self._scatter = scatter

    def _absorb(self, m: int, places: Components, mean: Array, scatter: Array) -> None:
        """N, μ and C of equation (2), given m, and ν and the candidate's own scatter at some places of S."""
        total = self.n + m
        theirs = np.zeros(len(self._support))
        theirs[places] = mean
        step = theirs - self._mean
        between = np.outer(step, step)
        between *= self.n * m / total
        self._scatter += between
        if len(places) == len(self._support):
            self._scatter += scatter
        else:
            self._scatter[np.ix_(places, places)] += scatter
        self._mean = theirs if self.n == 0 else self._mean + (m / total) * step
        self.n = total
