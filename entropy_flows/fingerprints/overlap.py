"""Gaussian overlap matrices of environments: their spectra, and the adjoint of these.

The environment S_i of atom i holds all atoms, periodic images and i itself within the cutoff r_c.
Over a, b in S_i

    M_ab = f_a O_ab f_b,    O_ab = c_ab exp(−γ_ab r_ab²),                                        (1)
    f_a = u_a^p,    u_a = 1 − r_ia²/r_c²
    q_i  = the natx largest eigenvalues of M, descending, padded with zeros

The logarithm of M is bilinear in features of its members, so that a matrix costs one product and
one exponential:

    log M_ab = X_a · K X_b,    X_a = (d_a, |d_a|², 1, log u_a)                                   (2)

where X_a fills the block of a's species and is 0 in the others. K is constant and symmetric. For
two species it has 2γ at (d, d), −γ at (|d|², 1), p at (log u, 1), and log c at (1, 1).

For a scalar φ with ∂φ/∂q_i = g and M = V diag(q) Vᵀ (Hellmann–Feynman, summed over the spectrum
before anything else)

    dφ = Σ_ab P_ab dM_ab = Σ_ab G_ab d(log M_ab),    P = V diag(g) Vᵀ,    G_ab = P_ab M_ab       (3)
    ∂φ/∂d_a = 2 [E_d + 2 d_a (E_|d|² − E_log u/(r_c² u_a))],    E = G X K                        (4)
    ∂φ/∂r_j = Σ_{d_a ends at j} ∂φ/∂d_a,    ∂φ/∂r_i = −Σ_a ∂φ/∂d_a,                              (5)
    ∂φ/∂ε = Σ_a ∂φ/∂d_a ⊗ d_a

=========  =========================================================================================
symbol     meaning
=========  =========================================================================================
d_a, r_ab  vector from atom i to member a of S_i; distance |d_a − d_b|, Å
α          Gaussian exponent 1/(2 r_cov²), Å⁻²;  γ_ab = α_a α_b / (α_a + α_b)
c_ab       (4π γ_ab)^{3/2} for overlap "paper"; (2 √(α_a α_b)/(α_a + α_b))^{3/2} for "normalized"
p          exponent of the cutoff function
P          one matrix per environment; degenerate eigenvalues are harmless if g treats them alike
=========  =========================================================================================

Both overlaps are Gram matrices of Gaussians: M has no negative eigenvalue. Matrices are padded with
rows of zeros to few sizes: their eigenvalues are zero, too, and follow those of the environment.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import threshold

from entropy_flows.batch import Batch
from entropy_flows.conventions import Array
from entropy_flows.fingerprints.base import EigenvalueSpectra
from entropy_flows.fingerprints.members import Blocks, Group, groups
from entropy_flows.neighbors import neighbors

TINY = 1e-30
"""u of a member that is on the cutoff or beyond it."""
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

    def coefficients(self, gamma: Array, log_c: Array) -> Array:
        """K of equation (2), (6 s, 6 s), given γ and log c of each pair of species (s, s)."""
        s = len(gamma)
        K = np.zeros((s, 6, s, 6))
        for component in range(3):
            K[:, component, :, component] = 2 * gamma
        square, one, log_u = 3, 4, 5
        K[:, square, :, one] = K[:, one, :, square] = -gamma
        K[:, log_u, :, one] = K[:, one, :, log_u] = self.exponent
        K[:, one, :, one] = log_c
        return K.reshape(6 * s, 6 * s)


def spectra(
    batch: Batch, form: Form, blocks: Blocks, natx: int, vectors: bool
) -> EigenvalueSpectra:
    """Spectra of all environments of a batch on its device.

    Parameters
    ----------
    batch
        The cells. If they have a skin, its tables are used.
    form, blocks
        What the matrices are made of.
    natx
        Eigenvalues kept of each matrix.
    vectors
        Whether the adjoint is wanted. The eigenvectors and matrices of the whole batch then stay
        alive: 16 n² bytes for each matrix of n rows.
    """
    cells = batch.cells
    coefficients = blocks.on(cells.device)["coefficients"]
    q = batch.positions.new_zeros(len(cells.numbers), len(blocks.allowed) * natx)
    solutions: list[Solution] = []
    for group in _groups(batch, form, blocks, natx):
        solution = Solution(group, batch.positions, form.cutoff, coefficients)
        q.view(-1)[group.components] = solution.solve(vectors)
        if vectors:
            solutions.append(solution)

    def adjoint(w: Tensor) -> tuple[Tensor, Tensor]:
        gradient = torch.zeros_like(batch.positions)
        strain = gradient.new_zeros(len(cells), 3, 3)
        for solution in solutions:
            solution.add_gradient(w.view(-1), gradient, strain)
        return gradient, strain

    return EigenvalueSpectra(q, cells.sizes, adjoint if vectors else None)


def _groups(batch: Batch, form: Form, blocks: Blocks, natx: int) -> Iterable[Group]:
    """Return the matrices of a batch, those that its skin has kept if there is one."""
    skin = batch.cells.skin
    reach = form.cutoff if skin is None else form.cutoff + skin.width

    def search() -> Iterable[Group]:
        return groups(batch, neighbors(batch, reach, itself=True), blocks, natx)

    return search() if skin is None else skin.tables(blocks, batch.positions, lambda: [*search()])


class Solution:
    """The matrices of a group where the atoms are now, and their eigenvectors.

    Attributes
    ----------
    d, u
        d_a (B, L, 3) and u_a (B, L, 1) of equation (1).
    features
        X of equation (2), (B, L, 6 s), and X K.
    """

    def __init__(
        self, group: Group, positions: Tensor, cutoff: float, coefficients: Tensor
    ) -> None:
        self.group = group
        self.cutoff = cutoff
        start = positions.index_select(0, group.centers)[:, None]
        end = positions.index_select(0, group.members).view(group.translations.shape)
        self.d = end - start + group.translations
        square = (self.d * self.d).sum(-1, keepdim=True)
        self.u = torch.rsub(square, 1, alpha=1 / cutoff**2).clamp_(min=TINY)
        log_u = threshold(self.u.log(), math.log(2 * TINY), NEVER)
        X = torch.cat([self.d, square, group.one, log_u], dim=2)
        self.features = (X[:, :, None] * group.is_species).flatten(2)
        self.weighted = self.features @ coefficients
        self.M = self.V = torch.empty(0)

    def solve(self, vectors: bool) -> Tensor:
        """Return the largest eigenvalues (B, L or natx), ascending."""
        self.M = torch.bmm(self.features, self.weighted.mT).exp_()  # (2)
        n_values = self.group.components.shape[1]
        if vectors:
            values, V = torch.linalg.eigh(self.M)
            self.V = V[:, :, -n_values:]
        else:
            values = torch.linalg.eigvalsh(self.M)
        return values[:, -n_values:].clamp(min=0)  # round-off → 0

    def add_gradient(self, w: Tensor, gradient: Tensor, strain: Tensor) -> None:
        """Add equation (5) to gradient (n, 3) and strain gradient (cells, 3, 3), for ∂φ/∂q = w."""
        group = self.group
        g = w[group.components][:, None]
        G = torch.bmm(self.V * g, self.V.mT).mul_(self.M)  # (3)
        E = torch.bmm(G, self.weighted).unflatten(2, (-1, 6))
        E = E.gather(2, group.species.expand(-1, -1, 1, 6))[:, :, 0]
        E_d, E_square, E_log_u = E[..., :3], E[..., 3:4], E[..., 5:]
        along = torch.addcdiv(E_square, E_log_u, self.u, value=-1 / self.cutoff**2)
        half = torch.addcmul(E_d, self.d, along, value=2)  # ½ of (4)
        gradient.index_add_(0, group.members, half.flatten(0, 1), alpha=2)
        gradient.index_add_(0, group.centers, half.sum(1), alpha=-2)
        strain.index_add_(0, group.cells, torch.bmm(half.mT, self.d), alpha=2)
