"""Gaussian overlap matrices of environments: their spectra, and the adjoint of these.

The environment S_i of atom i holds all atoms, periodic images and i itself within the cutoff r_c.
Over a, b in S_i

    M_ab = f_a O_ab f_b,    O_ab = c_ab exp(−γ_ab r_ab²),                                        (1)
    f_a = u_a^p,    u_a = 1 − r_ia²/r_c²
    q_i  = the natx largest eigenvalues of M, descending, padded with zeros

The logarithm of M is bilinear in features of its members, so that a matrix costs one product and
one exponential:

    log M_ab = X_a · Y_b                                                                         (2)
    X_a = (d_a, |d_a|², 1) in the block of a's species, 0 in the others; then l_a
    Y_b = (2γ d_b, −γ, l_b + log c − γ |d_b|²) in every species' block; then 1

For a scalar φ with ∂φ/∂q_i = g and M = V diag(q) Vᵀ (Hellmann–Feynman, summed over the spectrum
before anything else)

    dφ = Σ_ab P_ab dM_ab = Σ_ab G_ab d(log M_ab),    P = V diag(g) Vᵀ,    G_ab = P_ab M_ab       (3)
    ∂φ/∂d_a = 2 [ (GY)_a1..3 + 2 d_a (GY)_a4 + l'_a d_a (G1)_a ]                                 (4)
    ∂φ/∂r_j = Σ_{d_a ends at j} ∂φ/∂d_a,    ∂φ/∂r_i = −Σ_a ∂φ/∂d_a,                              (5)
    ∂φ/∂ε = Σ_a ∂φ/∂d_a ⊗ d_a

=========  =========================================================================================
symbol     meaning
=========  =========================================================================================
d_a, r_ab  vector from atom i to member a of S_i; distance |d_a − d_b|, Å
α          Gaussian exponent 1/(2 r_cov²), Å⁻²;  γ_ab = α_a α_b / (α_a + α_b)
c_ab       (4π γ_ab)^{3/2} for overlap "paper"; (2 √(α_a α_b)/(α_a + α_b))^{3/2} for "normalized"
p          exponent of the cutoff function;  l = p log u,  dl = l' d · dd  with  l' = −2p/(r_c² u)
P          one matrix per environment; degenerate eigenvalues are harmless if g treats them alike
=========  =========================================================================================

Both overlaps are Gram matrices of Gaussians: M has no negative eigenvalue. Matrices are padded with
rows of zeros to few sizes: their eigenvalues are zero, too, and follow those of the environment.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from entropy_flows.batch import Batch, Cells
from entropy_flows.conventions import Array
from entropy_flows.fingerprints.base import EigenvalueSpectra
from entropy_flows.neighbors import Pairs

MAX_ELEMENTS = 2**22
"""Matrix elements worked on at once: 32 MiB an array."""
GRAIN = 8
"""Matrices are padded to a multiple of this."""
SMALLEST = 32
"""Rows up to which matrices of all sizes are one problem; batched solvers of GPUs end there."""
NEVER = -1e4
"""A logarithm whose exponential is 0."""


@dataclass(frozen=True)
class Form:
    """The choices that equation (1) leaves open."""

    cutoff: float
    exponent: float
    overlap: Literal["paper", "normalized"]

    def tables(self, alpha: Array) -> tuple[Array, Array]:
        """γ and log c of each pair of species (s, s), given their α (s,)."""
        a = alpha[:, None]
        b = alpha[None, :]
        gamma = a * b / (a + b)
        c = 4 * np.pi * gamma if self.overlap == "paper" else 2 * np.sqrt(a * b) / (a + b)
        return gamma, 1.5 * np.log(c)


@dataclass(frozen=True)
class Blocks:
    """The matrices that an atom has, when there are s species."""

    species: Any
    """Species number of each atom (n,), int64."""
    gamma: Array
    """γ (s, s) in Å⁻² and log c (s, s) of each pair of species."""
    log_c: Array
    allowed: Any
    """Species that the matrices of each block have as members (blocks, s), bool."""
    with_centre: bool
    """Whether the centre is a member whatever its species."""

    @cached_property
    def takes_all(self) -> list[bool]:
        """Return of each block whether it has all species, and so all rows."""
        return [bool(row.all()) for row in self.allowed]

    def on(self, device: torch.device) -> dict[str, Tensor]:
        """Return the arrays by name on a device, where they stay."""
        if device not in self._tensors:
            names = ("species", "gamma", "log_c", "allowed")
            arrays = {name: torch.from_numpy(getattr(self, name)) for name in names}
            self._tensors[device] = {name: array.to(device) for name, array in arrays.items()}
        return self._tensors[device]

    @cached_property
    def _tensors(self) -> dict[torch.device, dict[str, Tensor]]:
        return {}


def spectra(
    batch: Batch, pairs: Pairs, form: Form, blocks: Blocks, natx: int, vectors: bool
) -> EigenvalueSpectra:
    """Spectra of all environments of a batch on its device.

    Parameters
    ----------
    batch
        The cells.
    pairs
        Their neighbours within the cutoff, each atom itself included.
    form, blocks
        What the matrices are made of.
    natx
        Eigenvalues kept of each matrix.
    vectors
        Whether the adjoint is wanted. The eigenvectors and matrices of the whole batch then stay
        alive: 16 n² bytes for each matrix of n rows.
    """
    n = len(batch.cells.numbers)
    count = len(blocks.allowed)
    rows = Rows(pairs, blocks, form)
    q = pairs.vectors.new_zeros(count * n, natx)
    solved: list[Group] = []
    for group in _grouped(rows, blocks, n):
        values = group.solve(natx, vectors)
        q[group.matrices, : values.shape[1]] = values
        if vectors:
            solved.append(group)

    def adjoint(w: Tensor) -> tuple[Tensor, Tensor]:
        weights = w.view(n, count, natx).transpose(0, 1).reshape(count * n, natx)
        by_row = torch.zeros_like(rows.d)
        for group in solved:
            by_row.index_add_(
                0, group.members.view(-1), group.gradient(weights.index_select(0, group.matrices))
            )
        return rows.scatter(by_row, batch.cells)

    in_order = q.view(count, n, natx).transpose(0, 1).reshape(n, -1)
    return EigenvalueSpectra(in_order, batch.cells.sizes, adjoint if vectors else None)


class Rows:
    """Members of all environments, one a row, and a last row for padding.

    Attributes
    ----------
    pairs
        (centre, member) of each row but the last.
    left, right
        X and Y of equation (2), (R + 1, 5 s + 1).
    """

    def __init__(self, pairs: Pairs, blocks: Blocks, form: Form) -> None:
        self.pairs = pairs
        s = len(blocks.gamma)
        tables = blocks.on(pairs.vectors.device)
        species = tables["species"].index_select(0, pairs.members)
        self.species = torch.cat([species, species.new_zeros(1)])
        self.allowed = tables["allowed"]
        gamma = tables["gamma"]
        log_c = tables["log_c"]
        d = torch.cat([pairs.vectors, pairs.vectors.new_zeros(1, 3)])
        square = (d * d).sum(-1, keepdim=True)
        u = (1 - square / form.cutoff**2).clamp(
            min=1e-30
        )  # round-off may put a member on the cutoff
        log = form.exponent * u.log()
        log[-1] = NEVER
        self.d = d
        self.slope = -2 * form.exponent / form.cutoff**2 / u
        one = torch.ones_like(square)
        # (R + 1, s, 1)
        g = gamma[self.species][:, :, None]
        c = log_c[self.species][:, :, None]
        right = torch.cat([2 * g * d[:, None], -g, log[:, None] + c - g * square[:, None]], dim=2)
        left = right.new_zeros(len(d), s, 5)
        left[torch.arange(len(d), device=d.device), self.species] = torch.cat(
            [d, square, one], dim=1
        )
        self.left = torch.cat([left.flatten(1), log], dim=1)
        self.right = torch.cat([right.flatten(1), one], dim=1)

    def of_block(self, blocks: Blocks, block: int) -> Tensor:
        """Rows that the matrices of a block have, in order."""
        if blocks.takes_all[block]:
            return torch.arange(len(self.d) - 1, device=self.d.device)
        chosen = self.allowed[block][self.species[:-1]]
        if blocks.with_centre:
            chosen = chosen | (
                (self.pairs.members == self.pairs.centers) & ~self.pairs.vectors.any(dim=1)
            )
        return chosen.nonzero()[:, 0]

    def gradient(self, rows: Tensor, product: Tensor) -> Tensor:
        """Equation (4) for rows (K,), given their rows of GY (K, 5 s + 1)."""
        blocks = product[:, :-1].unflatten(1, (-1, 5))
        total = product[:, -1:]
        block = blocks[torch.arange(len(rows), device=rows.device), self.species[rows]]
        d = self.d.index_select(0, rows)
        scale = torch.addcmul(2 * block[:, 3:4], self.slope.index_select(0, rows), total)
        return torch.addcmul(block[:, :3], scale, d).mul_(2)

    def scatter(self, by_row: Tensor, cells: Cells) -> tuple[Tensor, Tensor]:
        """Equation (5): sum ∂φ/∂d of all rows onto atoms (n, 3) and cells (B, 3, 3)."""
        centers = self.pairs.centers
        members = self.pairs.members
        by_row = by_row[:-1]
        gradient = by_row.new_zeros(len(cells.numbers), 3)
        gradient.index_add_(0, members, by_row).index_add_(0, centers, by_row, alpha=-1)
        outer = (by_row[:, :, None] * self.pairs.vectors[:, None, :]).flatten(1)
        strain = by_row.new_zeros(len(cells), 9).index_add_(
            0, cells.owner.index_select(0, centers), outer
        )
        return gradient, strain.view(-1, 3, 3)


class Group:
    """B matrices of at most L rows each, L a multiple of `GRAIN`.

    Attributes
    ----------
    matrices
        Their numbers (B,).
    members
        Their rows (B, L); the last row of all stands for padding.
    """

    def __init__(self, rows: Rows, matrices: Tensor, members: Tensor) -> None:
        self.rows = rows
        self.matrices = matrices
        self.members = members
        self.vectors = self.matrix = self.right = torch.empty(0)

    def solve(self, natx: int, vectors: bool) -> Tensor:
        """Return the largest eigenvalues (B, L or natx) of (1), descending, then zeros."""
        B, L = self.members.shape
        flat = self.members.view(-1)
        left = self.rows.left.index_select(0, flat).view(B, L, -1)
        right = self.rows.right.index_select(0, flat).view(B, L, -1)
        M = torch.bmm(left, right.mT).exp_()  # (2)
        if vectors:
            values, self.vectors = torch.linalg.eigh(M)
            self.matrix = M
            self.right = right
        else:
            values = torch.linalg.eigvalsh(M)
        return values.flip(-1)[:, :natx].clamp(min=0)  # round-off → 0

    def gradient(self, weights: Tensor) -> Tensor:
        """Equations (3) and (4): ∂φ/∂d of the members (B L, 3), for weights (B, natx)."""
        L = self.members.shape[1]
        n_values = min(weights.shape[1], L)
        V = self.vectors[:, :, L - n_values :]
        G = torch.bmm(V * weights[:, None, :n_values].flip(-1), V.mT).mul_(self.matrix)
        return self.rows.gradient(self.members.view(-1), torch.bmm(G, self.right).flatten(0, 1))


def _grouped(rows: Rows, blocks: Blocks, n: int) -> Iterator[Group]:
    """Group matrices of about the same size; matrix block · n + i is that of atom i."""
    centers = rows.pairs.centers
    rows_of_block = [rows.of_block(blocks, block) for block in range(len(blocks.allowed))]
    counts = torch.cat([_count(centers[chosen], n) for chosen in rows_of_block])
    first = counts.cumsum(0) - counts
    row = torch.cat([*rows_of_block, counts.new_full((1,), len(centers))])
    sizes, order = counts.sort(stable=True)
    for start, stop, L in _spans(sizes.tolist()):
        matrices = order[start:stop]
        size = sizes[start:stop, None]
        column = torch.arange(L, device=centers.device)
        slot = torch.where(
            column < size, first.index_select(0, matrices)[:, None] + column, len(row) - 1
        )
        yield Group(rows, matrices, row.index_select(0, slot.view(-1)).view(slot.shape))


def _count(indices: Tensor, n: int) -> Tensor:
    """Count how often each of n numbers occurs (n,); `bincount` would make the host wait."""
    return indices.new_zeros(n).index_add_(0, indices, torch.ones_like(indices))


def _spans(sizes: list[int]) -> Iterator[tuple[int, int, int]]:
    """Cut ascending sizes into (first, last, L) of about equal ones, none above L.

    Each call of an eigenvalue solver makes the host wait: matrices of one to `SMALLEST` rows share
    one, larger ones share it with those of four fifths of their rows or more.
    """
    stop = next((index for index, size in enumerate(sizes) if size), len(sizes))
    while stop < len(sizes):
        start = stop
        L = _padded(max(SMALLEST, sizes[start] * 5 // 4))
        most = start + max(1, MAX_ELEMENTS // L**2)
        while stop < len(sizes) and stop < most and sizes[stop] <= L:
            stop += 1
        yield start, stop, _padded(sizes[stop - 1])


def _padded(size: int) -> int:
    return -(-size // GRAIN) * GRAIN
