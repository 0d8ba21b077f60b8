"""Gaussian overlap matrices of environments: their spectra, and the adjoint of these.

The environment S_i of atom i holds all atoms, periodic images and i itself within the cutoff r_c. Over a, b in S_i

    M_ab = f_a O_ab f_b,    O_ab = c_ab exp(−γ_ab r_ab²),    f_a = (1 − r_ia²/r_c²)^p                                (1)
    q_i  = the natx largest eigenvalues of M, descending, padded with zeros

For a scalar φ with ∂φ/∂q_i = g and M = V diag(q) Vᵀ (Hellmann–Feynman, summed over the spectrum before anything else)

    dφ = Σ_ab P_ab dM_ab,    P = V diag(g) Vᵀ,    K_ab = P_ab O_ab                                                   (2)
    ∂φ/∂d_a = 2 f'_a (K f)_a d_a + 2 (Σ_b C_ab d_a − C_ab d_b),    C_ab = −2 γ_ab f_a K_ab f_b                       (3)
    ∂φ/∂r_j = Σ_{d_a ends at j} ∂φ/∂d_a,    ∂φ/∂r_i = −Σ_a ∂φ/∂d_a,    ∂φ/∂ε = Σ_a ∂φ/∂d_a ⊗ d_a                     (4)

=========  =====================================================================================================
symbol     meaning
=========  =====================================================================================================
d_a, r_ab  vector from atom i to member a of S_i; distance |d_a − d_b|, Å
α          Gaussian exponent 1/(2 r_cov²), Å⁻²;  γ_ab = α_a α_b / (α_a + α_b)
c_ab       (4π γ_ab)^{3/2} for overlap "paper"; (2 √(α_a α_b)/(α_a + α_b))^{3/2} for "normalized"
p          exponent of the cutoff function;  f'_a = −(2p/r_c²)(1 − r_ia²/r_c²)^{p−1}, so that df_a = f'_a d_a · dd_a
P          one matrix per environment; degenerate eigenvalues are harmless as long as g treats them alike
=========  =====================================================================================================

Both overlaps are Gram matrices of Gaussians: M has no negative eigenvalue. Rows that only fill a matrix up to a common
size are therefore decoupled with −1 on the diagonal, which sorts them behind the spectrum.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from entropy_flows.conventions import Array
from entropy_flows.fingerprints.neighbors import Index, Neighborhoods

CHUNK = 2**22
"""Matrix elements worked on at once: 32 MiB an array, about ten of them alive."""


@dataclass(frozen=True)
class Form:
    """What equation (1) leaves open, and where to work it out."""

    cutoff: float
    exponent: float
    overlap: Literal["paper", "normalized"]
    device: str


class Rows:
    """Rows of the neighbourhoods on the device, and one empty row at the end for padding."""

    def __init__(self, hood: Neighborhoods, alphas: Array, form: Form) -> None:
        self.hood, self.form = hood, form
        d = np.append(hood.vectors, np.zeros((1, 3)), axis=0)
        inside = np.maximum(1 - (d**2).sum(axis=1) / form.cutoff**2, 0.0)
        cut = inside**form.exponent
        cut[-1] = 0.0  # with d = 0 this makes every gradient of padding vanish exactly
        slope = -2 * form.exponent / form.cutoff**2 * inside ** (form.exponent - 1)
        self.d, self.cut, self.slope = self.tensor(d), self.tensor(cut), self.tensor(slope)
        # One species needs no (n, n) arrays of γ and c: its α broadcasts.
        self.uniform = len(np.unique(alphas)) == 1
        self.alpha = self.tensor(alphas[:1] if self.uniform else np.append(alphas[hood.members], alphas[0]))

    def tensor(self, array: np.ndarray) -> Tensor:
        """Array on the device."""
        return torch.from_numpy(array).to(self.form.device)

    def overlap_factors(self, members: Tensor) -> tuple[Tensor, Tensor]:
        """γ_ab and c_ab of matrices with these members (B, L); (1, 1, 1) if all are alike."""
        alpha = self.alpha[None] if self.uniform else self.alpha[members]
        a, b = alpha[:, :, None], alpha[:, None, :]
        gamma = a * b / (a + b)
        c = 4 * torch.pi * gamma if self.form.overlap == "paper" else 2 * (a * b).sqrt() / (a + b)
        return gamma, c * c.sqrt()

    def scatter(self, groups: Sequence[Group], weights: Tensor) -> tuple[Tensor, Tensor]:
        """Equation (4): sum ∂φ/∂d of all groups onto atoms and cells."""
        by_row = torch.zeros_like(self.d)
        for group in groups:
            by_row.index_add_(0, group.members.flatten(), group.gradient(weights[group.matrices]).flatten(0, 1))
        by_row = by_row[:-1]
        members, centers = self.tensor(self.hood.members), self.tensor(self.hood.centers)
        gradient = torch.zeros(len(self.hood.numbers), 3, dtype=torch.float64, device=self.d.device)
        gradient.index_add_(0, members, by_row).index_add_(0, centers, by_row, alpha=-1)
        strain = torch.zeros(len(self.hood.sizes), 3, 3, dtype=torch.float64, device=self.d.device)
        strain.index_add_(0, self.tensor(self.hood.cells)[centers], by_row[:, :, None] * self.d[:-1, None, :])
        return gradient, strain


class Group:
    """B matrices of L rows each, padding included."""

    def __init__(self, rows: Rows, matrices: Index, members: Index) -> None:
        self.rows = rows
        self.matrices, self.members = rows.tensor(matrices), rows.tensor(members)
        self.vectors = self.overlap = torch.empty(0)

    def solve(self, vectors: bool) -> Tensor:
        """Equation (1): ascending eigenvalues (B, L) of M, with −1 for padding."""
        d, cut = self.rows.d[self.members], self.rows.cut[self.members]
        gamma, c = self.rows.overlap_factors(self.members)
        square = (d * d).sum(-1)
        r2 = torch.baddbmm(square[:, :, None] + square[:, None, :], d, d.mT, alpha=-2)
        overlap = r2.mul_(-gamma).exp_().mul_(c)
        M = cut[:, :, None] * overlap * cut[:, None, :]
        M.diagonal(dim1=1, dim2=2).sub_((self.members == len(self.rows.d) - 1).double())
        if not vectors:
            return torch.linalg.eigvalsh(M)
        eigenvalues, self.vectors = torch.linalg.eigh(M)
        self.overlap = overlap
        return eigenvalues

    def gradient(self, weights: Tensor) -> Tensor:
        """Equations (2) and (3): ∂φ/∂d (B, L, 3) for weights (B, natx)."""
        d, cut, slope = self.rows.d[self.members], self.rows.cut[self.members], self.rows.slope[self.members]
        gamma, _ = self.rows.overlap_factors(self.members)
        kept = min(weights.shape[1], self.vectors.shape[1])
        V = self.vectors[:, :, -kept:]
        K = ((V * weights[:, None, :kept].flip(-1)) @ V.mT).mul_(self.overlap)
        Kf = K @ cut[:, :, None]
        C = K.mul_(cut[:, :, None]).mul_(cut[:, None, :]).mul_(-2 * gamma)
        return 2 * (d * (slope[:, :, None] * Kf + C.sum(-1, keepdim=True)) - C @ d)


def grouped(hood: Neighborhoods, blocks: Iterable[Index]) -> Iterator[tuple[Index, Index]]:
    """Matrices of about the same size together, in chunks.

    Yields the matrices' numbers (B,), block · n + centre, and their rows (B, L), with R for padding.
    """
    n, padding = len(hood.numbers), len(hood.centers)
    rows, counts = [], []
    for block in blocks:
        rows.append(block)
        counts.append(np.bincount(hood.centers[block], minlength=n))
    row, count = np.append(np.concatenate(rows), padding), np.concatenate(counts)
    first = np.cumsum(count) - count
    padded = _padded_size(count)
    for size in np.unique(padded[count > 0]):
        matrices = np.flatnonzero(padded == size)
        step = max(1, CHUNK // int(size) ** 2)
        for chunk in np.split(matrices, range(step, len(matrices), step)):
            column = np.arange(size)[None, :]
            slot = np.where(column < count[chunk, None], first[chunk, None] + column, len(row) - 1)
            yield chunk, row[slot]


def _padded_size(count: Index) -> Index:
    """Round up by at most an eighth: few groups, little padding, and a size that only the count decides."""
    step = 2 ** np.maximum(np.log2(np.maximum(count, 1)).astype(np.int64) - 3, 1)
    return -(-count // step) * step
