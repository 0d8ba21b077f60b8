"""Global entropy of a dataset, from sufficient statistics.

    H(D) = log det Σ,    Σ = C/N + λ I,    C = Σ_i (q_i − μ)(q_i − μ)ᵀ,    μ = (1/N) Σ_i q_i                         (1)

Only (N, μ, C) is kept: O(d²) memory for a dataset of any size. A candidate c of m vectors with mean ν changes it to

    N' = N + m,    μ' = μ + (m/N') (ν − μ),    C' = C + U Uᵀ                                                         (2)
    U = [q_1 − ν, …, q_m − ν, √(N m/N') (ν − μ)]

λ I does not scale along with C/N. In the eigenbasis C = V diag(e) Vᵀ both of its states are diagonal, so that

    ΔH = Σ_j log (e_j/N' + λ)/(e_j/N + λ) + log det(1 + Zᵀ Z),    Z = (e + N'λ)^{−1/2} Vᵀ U                          (3)

is exact; log det is that of an (m+1) × (m+1) or of a d × d matrix, whichever is smaller. The derivative is

    ∂ΔH/∂q_i = (2/N') Σ'⁻¹ (q_i − μ')  =  2 V (e + N'λ)^{−1/2} Z (1 + Zᵀ Z)^{−1} T_i,    q_i − μ' = U T_i            (4)

=======  ==========================================================================================================
symbol   meaning
=======  ==========================================================================================================
d        length of a vector
q_i      mode "atom": each atom's fingerprint. Mode "config": the mean over a cell's atoms, so that m = 1
λ        `regularization`
C        scatter about the mean. Σ q qᵀ − N μ μᵀ is the same matrix, but loses digits once |μ| exceeds the spread
T_i      unit vector i, then √(N/(N' m)): (q_i − ν) + (N/N') (ν − μ)
=======  ==========================================================================================================
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from typing import Literal, Self

import numpy as np
from scipy.linalg import cho_factor, cho_solve, eigh

from entropy_flows.conventions import Array

Mode = Literal["atom", "config"]
MODES: tuple[Mode, ...] = ("atom", "config")

_HEADER = struct.Struct("<4sHHIQd")  # magic, version, mode, d, N, λ
_MAGIC, _VERSION, _MODES = b"EFSS", 1, ("atom", "config")
_DIGEST = hashlib.sha256().digest_size


class SufficientStatistics:
    """Number, mean and scatter of a dataset's fingerprints, and what they say of a candidate.

    Parameters
    ----------
    dim
        d, length of a fingerprint.
    regularization
        λ > 0.
    mode
        "atom": every atom's fingerprint counts. "config": a cell counts as one vector, its atoms' mean.

    Notes
    -----
    An empty dataset has H = d log λ. One vector has no scatter, so the first cell of a "config" dataset has a gain of
    exactly 0 and whoever selects must let it in regardless.
    """

    def __init__(self, dim: int, regularization: float = 1e-3, mode: Mode = "atom") -> None:
        if not dim >= 1:
            raise ValueError(f"dim is {dim}; it must be at least 1")
        if not (np.isfinite(regularization) and regularization > 0):
            raise ValueError(f"regularization is {regularization}; it must be finite and positive")
        if mode not in _MODES:
            raise ValueError(f"mode is {mode!r}; it must be one of {_MODES}")
        self.dim, self.regularization, self.mode = int(dim), float(regularization), mode
        self.n = 0
        """Vectors seen: atoms or cells, as the mode says."""
        self.mean = np.zeros(self.dim)
        """μ (d,)."""
        self._scatter = np.zeros((self.dim, self.dim))
        self._eigen: tuple[Array, Array] | None = None

    def __repr__(self) -> str:
        settings = f"dim={self.dim}, regularization={self.regularization:g}, mode={self.mode!r}"
        return f"SufficientStatistics({settings}, n={self.n})"

    def covariance(self) -> Array:
        """Σ (d, d), the regularization included."""
        return self._scatter / max(self.n, 1) + self.regularization * np.eye(self.dim)

    def entropy(self) -> float:
        """H(D) = log det Σ."""
        e, _ = self._eigenbasis()
        return float(np.log(e / max(self.n, 1) + self.regularization).sum())

    def gain(self, q: Array) -> float:
        """ΔH of adding one cell, given its fingerprints (n_atoms, d) in either mode."""
        return float(self.gains([q])[0])

    def gains(self, candidates: Sequence[Array]) -> Array:
        """ΔH (n_candidates,) of adding each of the cells alone."""
        vectors = [self._vectors(q) for q in candidates]
        gains = np.empty(len(vectors))
        counts = np.array([len(rows) for rows in vectors], dtype=int)
        for m in np.unique(counts):  # cells of the same size share N' and thus the diagonal of (3)
            same = np.flatnonzero(counts == m)
            Zt = self._whitened(np.stack([vectors[index] for index in same]))
            gram = Zt @ Zt.mT if Zt.shape[1] <= self.dim else Zt.mT @ Zt
            gains[same] = self._drift(int(m)) + np.linalg.slogdet(np.eye(gram.shape[-1]) + gram)[1]
        return gains

    def gradient(self, q: Array) -> Array:
        """Exact ∂ΔH/∂q (n_atoms, d), equation (4): the candidate's own effect on N, μ and Σ included."""
        vectors = self._vectors(q)
        m = len(vectors)
        N = self.n + m
        e, V = self._eigenbasis()
        Zt = self._whitened(vectors[None])[0]
        T = np.vstack([np.eye(m), np.full((1, m), np.sqrt(self.n / (N * m)))])
        inner = cho_solve(cho_factor(np.eye(m + 1) + Zt @ Zt.T), T)
        return self._per_atom(2 * (inner.T @ Zt) / np.sqrt(e + N * self.regularization) @ V.T, len(q))

    def paper_gradient(self, q: Array) -> Array:
        """(2/N) Σ⁻¹ (q_i − μ) with the N, μ and Σ of the dataset alone, spread over the atoms (n_atoms, d).

        This is the printed force formula. It misses that the candidate itself moves N, μ and Σ; it agrees with
        `gradient` once the candidate hardly does, N ≫ m and (q − μ)ᵀ Σ⁻¹ (q − μ) ≪ N, and is too large before.
        """
        if self.n == 0:
            raise ValueError(
                "the paper's gradient divides by N, which is 0: add a cell first or use the exact gradient"
            )
        e, V = self._eigenbasis()
        whitened = (self._vectors(q) - self.mean) @ V / (e + self.n * self.regularization)
        return self._per_atom(2 * whitened @ V.T, len(q))

    def add(self, q: Array) -> None:
        """Add one cell, given its fingerprints (n_atoms, d), in place."""
        vectors = self._vectors(q)
        mean = vectors.mean(axis=0)
        self._absorb(len(vectors), mean, (vectors - mean).T @ (vectors - mean))

    def merge(self, other: SufficientStatistics) -> None:
        """Add another dataset, in place: the result is that of one dataset holding the cells of both."""
        for name in ("dim", "regularization", "mode"):
            ours, theirs = getattr(self, name), getattr(other, name)
            if ours != theirs:
                raise ValueError(f"cannot merge statistics of {name} {theirs!r} into those of {name} {ours!r}")
        if other.n:
            self._absorb(other.n, other.mean, other._scatter)

    def copy(self) -> Self:
        """Independent copy."""
        twin = type(self)(self.dim, self.regularization, self.mode)
        twin.n, twin.mean, twin._scatter, twin._eigen = self.n, self.mean.copy(), self._scatter.copy(), self._eigen
        return twin

    def to_bytes(self) -> bytes:
        """Little-endian header, mean, upper triangle of the scatter by rows, and a SHA-256 of all these."""
        header = _HEADER.pack(_MAGIC, _VERSION, _MODES.index(self.mode), self.dim, self.n, self.regularization)
        packed = np.concatenate([self.mean, self._scatter[np.triu_indices(self.dim)]]).astype("<f8")
        payload = header + packed.tobytes()
        return payload + hashlib.sha256(payload).digest()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Inverse of `to_bytes`, to the last bit; a ValueError if the data are not what was written."""
        payload, digest = data[:-_DIGEST], data[-_DIGEST:]
        if len(payload) < _HEADER.size or payload[:4] != _MAGIC:
            raise ValueError(f"{len(data)} bytes that do not begin with {_MAGIC!r} are no sufficient statistics")
        if hashlib.sha256(payload).digest() != digest:
            raise ValueError("sufficient statistics are damaged: their checksum does not match")
        _, version, mode, dim, n, regularization = _HEADER.unpack_from(payload)
        if version != _VERSION:
            raise ValueError(f"sufficient statistics have format version {version}; this code reads {_VERSION}")
        statistics = cls(dim, regularization, _MODES[mode])  # type: ignore[arg-type]
        packed = np.frombuffer(payload, dtype="<f8", offset=_HEADER.size).astype(np.float64)
        statistics.n, statistics.mean = n, packed[:dim].copy()
        rows, columns = np.triu_indices(dim)
        statistics._scatter[rows, columns] = statistics._scatter[columns, rows] = packed[dim:]
        return statistics

    def checksum(self) -> str:
        """SHA-256 of the content in hex: equal if and only if the statistics are equal to the last bit."""
        return self.to_bytes()[-_DIGEST:].hex()

    def _vectors(self, q: Array) -> Array:
        """Vectors (m, d) that a cell with fingerprints q (n_atoms, d) contributes."""
        q = np.asarray(q, dtype=np.float64)
        if q.ndim != 2 or len(q) == 0 or q.shape[1] != self.dim:
            raise ValueError(
                f"fingerprints have shape {q.shape}; they must be (n_atoms, {self.dim}), n_atoms at least 1"
            )
        if not np.isfinite(q).all():
            raise ValueError(f"fingerprint of atom {int(np.argmin(np.isfinite(q).all(axis=1)))} is not finite")
        return q if self.mode == "atom" else q.mean(axis=0, keepdims=True)

    def _per_atom(self, gradient: Array, n_atoms: int) -> Array:
        """∂/∂q of each atom (n_atoms, d), given that of the vectors (m, d)."""
        return gradient if self.mode == "atom" else np.repeat(gradient / n_atoms, n_atoms, axis=0)

    def _absorb(self, m: int, mean: Array, scatter: Array) -> None:
        """Equation (2)."""
        total = self.n + m
        step = mean - self.mean
        self._scatter += scatter + (self.n * m / total) * np.outer(step, step)
        self.mean = mean.copy() if self.n == 0 else self.mean + (m / total) * step
        self.n, self._eigen = total, None

    def _eigenbasis(self) -> tuple[Array, Array]:
        """Eigenvalues e (d,) and eigenvectors V (d, d) of the scatter; kept until it changes."""
        if self._eigen is None:
            e, V = eigh(self._scatter) if self.n > 1 else (np.zeros(self.dim), np.eye(self.dim))
            self._eigen = np.maximum(e, 0.0), V
        return self._eigen

    def _drift(self, m: int) -> float:
        """First term of (3): what the growth of N alone does to the entropy."""
        e, _ = self._eigenbasis()
        if self.n == 0:
            return 0.0
        return float(np.log1p(-m / (self.n + m) * e / (e + self.n * self.regularization)).sum())

    def _whitened(self, vectors: Array) -> Array:
        """Zᵀ (B, m + 1, d) of B candidates (B, m, d) at once."""
        B, m, d = vectors.shape
        e, V = self._eigenbasis()
        N = self.n + m
        rows = np.empty((B, m + 1, d))
        mean = vectors.mean(axis=1)
        rows[:, :m] = vectors - mean[:, None]
        rows[:, m] = np.sqrt(self.n * m / N) * (mean - self.mean)
        return (rows.reshape(-1, d) @ V / np.sqrt(e + N * self.regularization)).reshape(rows.shape)
