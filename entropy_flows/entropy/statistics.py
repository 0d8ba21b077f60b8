"""Global entropy of a dataset, from sufficient statistics.

    H(D) = log det Σ,    Σ = C/N + λ I,    C = Σ_i (q_i − μ)(q_i − μ)ᵀ,    μ = (1/N) Σ_i q_i                         (1)

Only (N, μ, C) is kept: O(d²) memory for a dataset of any size. A candidate c of m vectors with mean ν changes it to

    N' = N + m,    μ' = μ + (m/N') (ν − μ),    C' = C + U Uᵀ,    U_i = q_i − ν + s (ν − μ),    s = √(N/N')           (2)

λ I does not scale along with C/N, so both of its states count:

    ΔH = log det(C + N'λ I) − log det(C + Nλ I) − d log(N'/N) + log det(1 + Z Zᵀ),    Z = Uᵀ F                       (3)

with F Fᵀ = (C + N'λ I)⁻¹, exact. `spectrum` has F and the determinants at any N' from one eigendecomposition, and goes
on having them while cells are added. The derivative is

    ∂ΔH/∂q_i = (2/N') Σ'⁻¹ (q_i − μ')  =  2 Σ_j T_ij [(1 + Z Zᵀ)⁻¹ Z Fᵀ]_j,    T_ij = δ_ij − (1 − s)/m              (4)

since U T has the columns q_i − μ'.

=======  ==========================================================================================================
symbol   meaning
=======  ==========================================================================================================
d        length of a vector
q_i      mode "atom": each atom's fingerprint. Mode "config": the mean over a cell's atoms, so that m = 1
λ        `regularization`
C        scatter about the mean. Σ q qᵀ − N μ μᵀ is the same matrix, but loses digits once |μ| exceeds the spread
U_i, Z   column i of U (d, m); Z (m, d), by rows like all that is stored
=======  ==========================================================================================================
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from typing import Literal, Self

import numpy as np

from entropy_flows.conventions import Array
from entropy_flows.entropy.blocks import check_shape, check_values, groups, weights
from entropy_flows.entropy.spectrum import Shifted, Spectrum, log_det

Mode = Literal["atom", "config"]
MODES: tuple[Mode, ...] = ("atom", "config")

_HEADER = struct.Struct("<4sHHIQd")  # magic, version, mode, d, N, λ
_MAGIC, _VERSION = b"EFSS", 1
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
        if mode not in MODES:
            raise ValueError(f"mode is {mode!r}; it must be one of {MODES}")
        self.dim, self.regularization, self.mode = int(dim), float(regularization), mode
        self.n = 0
        """Vectors seen: atoms or cells, as the mode says."""
        self.mean = np.zeros(self.dim)
        """μ (d,)."""
        self._scatter = np.zeros((self.dim, self.dim))
        self._spectrum: Spectrum | None = None

    def __repr__(self) -> str:
        settings = f"dim={self.dim}, regularization={self.regularization:g}, mode={self.mode!r}"
        return f"SufficientStatistics({settings}, n={self.n})"

    def covariance(self) -> Array:
        """Σ (d, d), the regularization included."""
        return self._scatter / max(self.n, 1) + self.regularization * np.eye(self.dim)

    def entropy(self) -> float:
        """H(D) = log det Σ."""
        N = max(self.n, 1)
        decomposed = np.log(self._decomposed().values / N + self.regularization).sum()
        return float(decomposed + self._at(N - self.n).log_det_columns)

    def gain(self, q: Array) -> float:
        """ΔH of adding one cell, given its fingerprints (n_atoms, d) in either mode."""
        return float(self.gains([q])[0])

    def gains(self, candidates: Sequence[Array] | Array) -> Array:
        """ΔH (n_candidates,) of adding each of the cells alone.

        Cells of any sizes as a list of (n_atoms, d), or cells of one size as one array (n_candidates, n_atoms, d).
        """
        gains = np.empty(len(candidates))
        with np.errstate(invalid="ignore", over="ignore"):  # found below
            for group in groups(candidates, self.dim, self.mode):  # cells of one size share N', F and the drift
                drift, whiten = self.drift(group.m), self._at(group.m).whitener(len(group.members) * group.m)
                for which, vectors in group.stacks():
                    Z = whiten(self._columns(vectors).reshape(-1, self.dim)).reshape(vectors.shape)
                    gains[which] = drift + log_det(Z)
        if not np.isfinite(gains).all():
            worst = int(np.argmin(np.isfinite(gains)))
            check_values(np.asarray(candidates[worst]), f"candidate {worst}: fingerprint")
            raise ValueError(
                f"candidate {worst} is too far from the data: no finite gain at λ = {self.regularization:g}"
            )
        return gains

    def drift(self, m: int) -> float:
        """First three terms of (3): what the growth of N by m alone does to the entropy; 0 for an empty dataset."""
        if self.n == 0:
            return 0.0
        e, N = self._decomposed().values, self.n
        decomposed = np.log1p(-m / (N + m) * e / (e + N * self.regularization)).sum()
        return float(decomposed + self._at(m).log_det_columns - self._at(0).log_det_columns)

    def gradient(self, q: Array) -> Array:
        """Exact ∂ΔH/∂q (n_atoms, d), equation (4): the candidate's own effect on N, μ and Σ included."""
        vectors = self._vectors(q)
        m = len(vectors)
        A = self._at(m)
        Z = A.whitener(m)(self._columns(vectors[None])[0])
        inner = np.linalg.solve(np.eye(m) + Z @ Z.T, Z)
        inner -= (1 - self._share(m)) * inner.mean(axis=0)
        return self._per_atom(2 * A.unwhiten(inner), len(q))

    def paper_gradient(self, q: Array) -> Array:
        """(2/N) Σ⁻¹ (q_i − μ) with the N, μ and Σ of the dataset alone, spread over the atoms (n_atoms, d).

        This is the printed force formula. It misses that the candidate itself moves N, μ and Σ; it agrees with
        `gradient` once the candidate hardly does, N ≫ m and (q − μ)ᵀ Σ⁻¹ (q − μ) ≪ N, and is too large before.
        """
        if self.n == 0:
            raise ValueError(
                "the paper's gradient divides by N, which is 0: add a cell first or use the exact gradient"
            )
        A, rows = self._at(0), self._vectors(q) - self.mean
        return self._per_atom(2 * A.unwhiten(A.whitener(len(rows))(rows)), len(q))

    def add(self, q: Array) -> None:
        """Add one cell, given its fingerprints (n_atoms, d), in place."""
        vectors = self._vectors(q)
        mean = vectors.mean(axis=0)
        before, columns = self._spectrum, self._columns(vectors[None])[0]
        self._absorb(len(vectors), mean, (vectors - mean).T @ (vectors - mean))
        self._spectrum = before and before.grown(columns, self.n * self.regularization)

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
        twin.n, twin.mean, twin._scatter = self.n, self.mean.copy(), self._scatter.copy()
        twin._spectrum = self._spectrum  # never changed, only replaced
        return twin

    def to_bytes(self) -> bytes:
        """Little-endian header, mean, upper triangle of the scatter by rows, and a SHA-256 of all these."""
        header = _HEADER.pack(_MAGIC, _VERSION, MODES.index(self.mode), self.dim, self.n, self.regularization)
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
        statistics = cls(dim, regularization, MODES[mode])
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
        check_shape(q.shape, self.dim)
        check_values(q)
        return q if self.mode == "atom" else q.mean(axis=0, keepdims=True)

    def _share(self, m: int) -> float:
        """Factor s."""
        return float(np.sqrt(self.n / (self.n + m)))

    def _columns(self, vectors: Array) -> Array:
        """Uᵀ (B, m, d) of cells' vectors (B, m, d), equation (2)."""
        m = vectors.shape[1]
        mean = weights(m) @ vectors if m > 1 else vectors
        step = self._share(m) * (mean - self.mean)
        return vectors - (mean - step) if m > 1 else step

    def _per_atom(self, gradient: Array, n_atoms: int) -> Array:
        """∂/∂q of each atom (n_atoms, d), given that of the vectors (m, d)."""
        return gradient if self.mode == "atom" else np.repeat(gradient / n_atoms, n_atoms, axis=0)

    def _absorb(self, m: int, mean: Array, scatter: Array) -> None:
        """N, μ and C of equation (2), given m, ν and the candidate's own scatter."""
        total = self.n + m
        step = mean - self.mean
        between = np.outer(step, step)
        between *= self.n * m / total
        between += scatter
        self._scatter += between
        self.mean = mean.copy() if self.n == 0 else self.mean + (m / total) * step
        self.n, self._spectrum = total, None

    def _decomposed(self) -> Spectrum:
        """The scatter's spectrum, decomposed now if there is none to go on with."""
        if self._spectrum is None:
            self._spectrum = Spectrum.of(self._scatter)
        return self._spectrum

    def _at(self, m: int) -> Shifted:
        """C + N'λ I."""
        return self._decomposed().shifted((self.n + m) * self.regularization)
