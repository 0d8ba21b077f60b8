"""Global entropy of a dataset, from sufficient statistics.

    H(D) = log det Σ,    Σ = C/N + λ I,    C = Σ_i (q_i − μ)(q_i − μ)ᵀ,    μ = (1/N) Σ_i q_i     (1)

Only (N, μ, C) is kept: O(d²) memory for a dataset of any size. A candidate c of m vectors with mean
ν changes it to

    N' = N + m,    μ' = μ + (m/N') (ν − μ),    C' = C + U Uᵀ,                                    (2)
    U_i = q_i − ν + s (ν − μ),    s = √(N/N')

λ I does not scale along with C/N, so both of its states count:

    ΔH = log det(C + N'λ I) − log det(C + Nλ I) − d log(N'/N) + log det(1 + Z Zᵀ),    Z = Uᵀ F   (3)

with F Fᵀ = (C + N'λ I)⁻¹, exact. `spectrum` has F and the determinants at any N' from one
eigendecomposition, and goes on having them while cells are added. The derivative is

    ∂ΔH/∂q_i = (2/N') Σ'⁻¹ (q_i − μ')  =  2 Σ_j T_ij [(1 + Z Zᵀ)⁻¹ Z Fᵀ]_j,                      (4)
    T_ij = δ_ij − (1 − s)/m

since U T has the columns q_i − μ'. All of this is done with the components S alone that are
populated; the others add (d − |S|) log λ to H and nothing to ΔH (`support`). A candidate's new
components join S before it is judged.

The leverage of an atom's vector is its distance from the data in the data's own metric,

    h = (q − μ)ᵀ Σ⁻¹ (q − μ) = N |Fᵀ (q − μ)|²                                                   (5)

with F at the shift Nλ. For a cell of the data, judged by the others alone, N' = N − m and
μ' = μ − (m/N') (ν − μ). Its scatter goes out by the columns U of (2), the other way round:

    h' = N' (|z|² + bᵀ (1 − W Wᵀ)⁻¹ b),    z = Fᵀ (q − μ'),    W = Uᵀ F,    b = W z              (6)

with F at the shift N'λ, by Woodbury's identity: exact, and no decomposition of its own.

=======  ===========================================================================================
symbol   meaning
=======  ===========================================================================================
d        length of a vector; beyond this table, arrays have |S| components instead
q_i      mode "atom": each atom's fingerprint. Mode "config": the mean over a cell's atoms, m = 1
λ        `regularization`
C        scatter about the mean. Σ q qᵀ − N μ μᵀ is the same, but loses digits if |μ| is large
U_i, Z   column i of U (d, m); Z (m, d), by rows like all that is stored
=======  ===========================================================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Self

import numpy as np

from entropy_flows.conventions import Array
from entropy_flows.entropy.blocks import check_shape, check_values, groups, stacked, weights
from entropy_flows.entropy.moments import Mode, Moments
from entropy_flows.entropy.spectrum import Shifted, Spectrum, log_det
from entropy_flows.entropy.support import Components, Support, populated, populated_in
from entropy_flows.summary import Summary

MAX_SHOWN = 1000
"""Populated components up to which a notebook shows H."""


class SufficientStatistics(Moments):
    """Number, mean and scatter of a dataset's fingerprints, and what they say of a candidate.

    Parameters
    ----------
    dim
        d, length of a fingerprint.
    regularization
        λ > 0.
    mode
        "atom": every atom's fingerprint counts. "config": a cell counts as one vector, its atoms'
        mean.

    Notes
    -----
    An empty dataset has H = d log λ. One vector has no scatter, so the first cell of a "config"
    dataset has a gain of exactly 0 and whoever selects must let it in regardless.
    """

    def __init__(self, dim: int, regularization: float = 1e-3, mode: Mode = "atom") -> None:
        super().__init__(dim, regularization, mode)
        self._spectrum: Spectrum | None = None

    @property
    def is_of_means(self) -> bool:
        """Return whether a cell counts by its mean alone, as in mode "config"."""
        return self.mode == "config"

    def entropy(self) -> float:
        """Return H(D) = log det Σ."""
        N = max(self.n, 1)
        decomposed = np.log(self._decomposed().values / N + self.regularization).sum()
        empty = (self.dim - len(self._support)) * np.log(self.regularization)
        return float(decomposed + self._at(N - self.n).log_det_columns + empty)

    def summary(self) -> Summary:
        """Return what shells and notebooks show: the settings, how much was seen, and H."""
        shown = super().summary()
        if len(self._support) > MAX_SHOWN:
            # a decomposition of seconds is not what somebody asks for by a name in a cell
            return shown
        return replace(shown, lines=[*shown.lines, ("H = log det Σ", f"{self.entropy():.2f}")])

    def value(self) -> float:
        """Return H(D): the measure of the data set that `Criterion` asks for."""
        return self.entropy()

    def copy(self) -> Self:
        """Return an independent copy."""
        twin = super().copy()
        twin._spectrum = self._spectrum  # never changed, only replaced
        return twin

    def gain(self, q: Array) -> float:
        """Return ΔH of adding one cell, given its fingerprints (n_atoms, d) in either mode."""
        return float(self.gains([q])[0])

    def gains(self, candidates: Sequence[Array] | Array) -> Array:
        """Return ΔH (n_candidates,) of adding each of the cells alone.

        Cells of any sizes as a list of (n_atoms, d), or cells of one size as one array
        (n_candidates, n_atoms, d).
        """
        candidates = stacked(candidates, self.dim)
        sorted_by_size = groups(candidates, self.dim, self.mode)
        self.cover(candidates)
        gains = np.empty(len(candidates))
        with np.errstate(invalid="ignore", over="ignore"):  # found below
            for group in sorted_by_size:  # cells of one size share N', F and the drift
                drift = self.drift(group.m)
                whiten = self._at(group.m).whitener(len(group.members) * group.m)
                for which, vectors in group.stacks(self._support):
                    columns = self._columns(vectors).reshape(
                        len(vectors) * group.m, len(self._support)
                    )
                    gains[which] = drift + log_det(whiten(columns).reshape(vectors.shape))
        if not np.isfinite(gains).all():
            worst = int(np.argmin(np.isfinite(gains)))
            check_values(np.asarray(candidates[worst]), f"candidate {worst}: fingerprint")
            raise ValueError(
                f"candidate {worst} is too far from the data: no finite gain at λ = "
                f"{self.regularization:g}"
            )
        return gains

    def cover(self, cells: Sequence[Array] | Array) -> None:
        """Let S have the components of all these cells, which change nothing.

        Cells that are then judged one by one have the same bits whichever comes first: a sum over
        more components may be rounded otherwise.
        """
        if len(self._support) < self.dim:
            self._cover(populated_in(cells, self.dim))

    def drift(self, m: int) -> float:
        """Return the first three terms of (3), the effect of N growing by m; 0 for no data."""
        if self.n == 0:
            return 0.0
        e = self._decomposed().values
        N = self.n
        decomposed = np.log1p(-m / (N + m) * e / (e + N * self.regularization)).sum()
        return float(decomposed + self._at(m).log_det_columns - self._at(0).log_det_columns)

    def gradient(self, q: Array) -> Array:
        """Return the exact ∂ΔH/∂q (n_atoms, d), equation (4).

        The candidate's own effect on N, μ and Σ is included.
        """
        vectors = self._vectors(q)
        m = len(vectors)
        A = self._at(m)
        Z = A.whitener(m)(self._columns(vectors[None])[0])
        inner = np.linalg.solve(np.eye(m) + Z @ Z.T, Z)
        inner -= (1 - self._share(m)) * inner.mean(axis=0)
        return self._per_atom(2 * A.unwhiten(inner), len(q))

    def paper_gradient(self, q: Array) -> Array:
        """Return (2/N) Σ⁻¹ (q_i − μ) with N, μ and Σ of the dataset alone, by atoms (n_atoms, d).

        This is the printed force formula (Wang 2026, Eqs. 8 and 9). It misses that the candidate
        itself moves N, μ and Σ; it agrees with `gradient` once the candidate hardly does, N ≫ m and
        (q − μ)ᵀ Σ⁻¹ (q − μ) ≪ N, and is too large before.
        """
        if self.n == 0:
            raise ValueError(
                "the paper's gradient divides by N, which is 0: add a cell first or use the exact "
                "gradient"
            )
        rows = self._vectors(q) - self._mean
        A = self._at(0)
        return self._per_atom(2 * A.unwhiten(A.whitener(len(rows))(rows)), len(q))

    def leverages(self, q: Array) -> Array:
        """Return h of each atom (n_atoms,) with fingerprints q (n_atoms, d), equation (5).

        In mode "config" Σ is that of the cells' means, to which an atom is compared.
        """
        if self.n == 0:
            raise ValueError("no data, no distance from it: add a cell before asking for leverages")
        rows = self._atoms(q) - self._mean
        Z = self._at(0).whitener(len(rows))(rows)
        return self.n * np.einsum("id,id->i", Z, Z)

    def leverages_by_others(self, q: Array) -> Array:
        """Return h' of each atom (n_atoms,) of a cell of the data set, against all other cells.

        Parameters
        ----------
        q
            Fingerprints (n_atoms, d) of a cell that was added. That it was cannot be checked.

        Raises
        ------
        ValueError
            If there is no other cell.
        """
        rows = self._atoms(q)
        vectors = self._by_mode(rows)
        m = len(vectors)
        others = self.n - m
        if others < 1:
            raise ValueError(f"{self.n} vectors less those of a cell with {m} leave no other cell")
        mean = vectors.mean(axis=0)
        mean_of_others = self._mean - m / others * (mean - self._mean)
        columns = vectors - mean + np.sqrt(others / self.n) * (mean - mean_of_others)
        whiten = self._at(-m).whitener(len(rows))
        Z = whiten(rows - mean_of_others)
        W = whiten(columns)
        if m > Z.shape[1]:  # the same without Woodbury's identity: the smaller matrix is solved
            inverted = np.linalg.solve(np.eye(Z.shape[1]) - W.T @ W, Z.T)
            return others * np.einsum("id,di->i", Z, inverted)
        b = W @ Z.T
        beyond = np.einsum("ij,ij->j", b, np.linalg.solve(np.eye(m) - W @ W.T, b))
        return others * (np.einsum("id,id->i", Z, Z) + beyond)

    def add(self, q: Array) -> None:
        """Add one cell, given its fingerprints (n_atoms, d), in place."""
        vectors = self._vectors(q)
        before = self._spectrum
        columns = self._columns(vectors[None])[0]
        # Sums over these components are the same to the bit whatever else is in S.
        positions = populated(vectors)
        rows = vectors[:, positions]
        mean = rows.mean(axis=0)
        self._absorb(len(vectors), positions, mean, (rows - mean).T @ (rows - mean))
        self._spectrum = before and before.grown(columns, self.n * self.regularization)

    def _vectors(self, q: Array) -> Array:
        """Return the vectors (m, |S|) of a cell with fingerprints q (n_atoms, d); S may grow."""
        return self._by_mode(self._atoms(q))

    def _by_mode(self, rows: Array) -> Array:
        """Return the rows (n_atoms, |S|) of a cell, or their mean (1, |S|)."""
        return rows if self.mode == "atom" else rows.mean(axis=0, keepdims=True)

    def _atoms(self, q: Array) -> Array:
        """Return fingerprints q (n_atoms, d) by their components S, which may grow."""
        q = np.asarray(q, dtype=np.float64)
        check_shape(q.shape, self.dim)
        check_values(q)
        self._cover(populated(q))
        return self._support.take(q)

    def _extend(self, support: Support) -> None:
        """Let S grow, and the spectrum with it."""
        positions = support.positions(self._support.components)
        super()._extend(support)
        self._spectrum = self._spectrum and self._spectrum.padded(positions, len(support))

    def _absorb(self, m: int, positions: Components, mean: Array, scatter: Array) -> None:
        """Let vectors in; the spectrum has to follow."""
        super()._absorb(m, positions, mean, scatter)
        self._spectrum = None

    def _share(self, m: int) -> float:
        """Factor s."""
        return float(np.sqrt(self.n / (self.n + m)))

    def _columns(self, vectors: Array) -> Array:
        """Uᵀ (B, m, |S|) of cells' vectors (B, m, |S|), equation (2)."""
        m = vectors.shape[1]
        mean = weights(m) @ vectors if m > 1 else vectors
        step = self._share(m) * (mean - self._mean)
        return vectors - (mean - step) if m > 1 else step

    def _per_atom(self, gradient: Array, n_atoms: int) -> Array:
        """∂/∂q of each atom (n_atoms, d), given that of the vectors (m, |S|)."""
        spread = self._support.spread(gradient)
        return spread if self.mode == "atom" else np.repeat(spread / n_atoms, n_atoms, axis=0)

    def _decomposed(self) -> Spectrum:
        """The scatter's spectrum, decomposed now if there is none to go on with."""
        if self._spectrum is None:
            self._spectrum = Spectrum.of(self._scatter)
        return self._spectrum

    def _at(self, m: int) -> Shifted:
        """C + N'λ I."""
        return self._decomposed().shifted((self.n + m) * self.regularization)
