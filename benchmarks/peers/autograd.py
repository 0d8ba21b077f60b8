"""Compute S_local, forces and virial by automatic differentiation, batched over a cell's atoms.

This is ReformPy's route.

All environments of a cell are padded to the largest; the overlap matrices are built in one go and
solved by one batched eigvalsh, and torch differentiates from S_local back to positions and strain.
"""

from __future__ import annotations

import numpy as np
import torch
from ase import Atoms
from matscipy.neighbours import neighbour_list
from torch import Tensor

from entropy_flows.entropy.local import FLOOR
from entropy_flows.fingerprints import GOM


def autograd_surface(
    gom: GOM, atoms: Atoms, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor, Tensor]:
    """S_local, ∂S/∂r (n, 3) and ∂S/∂ε (3, 3); `dtype` is that of matrices and eigenvalues."""
    device = gom.params.device
    r, cell = (torch.tensor(array, device=device) for array in (atoms.positions, atoms.cell[:]))
    strain = torch.zeros(3, 3, dtype=r.dtype, device=device, requires_grad=True)
    r.requires_grad_()
    deformation = torch.eye(3, dtype=r.dtype, device=device) + strain

    i, j, image = neighbour_list("ijS", atoms, cutoff=gom.params.cutoff)
    own = np.arange(len(atoms))
    i, j, image = (
        np.append(own, i),
        np.append(own, j),
        np.append(np.zeros((len(atoms), 3)), image, axis=0),
    )
    d = (r[j] - r[i] + torch.from_numpy(image).to(device) @ cell) @ deformation.T
    alpha = torch.tensor(
        [0.5 / gom.params.radius(symbol) ** 2 for symbol in atoms.symbols], dtype=r.dtype
    )
    alpha = alpha[:1] if len(set(atoms.symbols)) == 1 else alpha[j]
    blocks = [
        spectrum(gom, d, alpha.to(device), slots, dtype) for slots in padded(gom, atoms, i, j)
    ]
    S = local_entropy(torch.cat(blocks, dim=1))
    return S.detach(), *torch.autograd.grad(S, (r, strain))


def spectrum(gom: GOM, d: Tensor, alpha: Tensor, slots: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the eigenvalues (n, natx) of one block's matrices, in descending order.

    The slots (n, L) number the rows; −1 is padding.
    """
    params, d = gom.params, d[slots].to(dtype)
    a = alpha.to(dtype) if len(alpha) == 1 else alpha[slots].to(dtype)
    square = (d**2).sum(-1)
    f = (1 - square / params.cutoff**2).clamp(min=0) ** params.exponent * (slots >= 0)
    a, b = a.unsqueeze(-1), a.unsqueeze(-2)
    gamma = a * b / (a + b)
    c = 4 * torch.pi * gamma if params.overlap == "paper" else 2 * (a * b).sqrt() / (a + b)
    r2 = torch.baddbmm(square[:, :, None] + square[:, None, :], d, d.mT, alpha=-2)
    overlap = c * c.sqrt() * torch.exp(-gamma * r2)
    q = (
        torch.linalg.eigvalsh(f[:, :, None] * overlap * f[:, None, :])
        .flip(-1)[:, : params.natx]
        .double()
    )
    return torch.nn.functional.pad(q, (0, params.natx - q.shape[1]))


def padded(gom: GOM, atoms: Atoms, i: np.ndarray, j: np.ndarray) -> list[Tensor]:
    """For each block the rows (n, L) of each atom's matrix."""
    kinds, n = np.unique(atoms.numbers), len(atoms)
    pairs = (
        [(s, t) for k, s in enumerate(kinds) for t in kinds[k:]]
        if gom.params.species == "pairs"
        else [kinds]
    )
    blocks = []
    for pair in pairs:
        rows = np.flatnonzero(np.isin(atoms.numbers[j], pair))
        rows = rows[np.argsort(i[rows], kind="stable")]
        count = np.bincount(i[rows], minlength=n)
        slots = np.full((n, count.max()), -1)
        slots[np.arange(count.max()) < count[:, None]] = rows
        blocks.append(torch.from_numpy(slots).to(gom.params.device))
    return blocks


def local_entropy(q: Tensor, floor: float = FLOOR) -> Tensor:
    """S_local with its floor, as in `entropy_flows.entropy.local`."""
    with torch.no_grad():
        exact = "donot_use_mm_for_euclid_dist"  # differences of products cancel
        nearest = torch.cdist(q, q, compute_mode=exact).fill_diagonal_(torch.inf).argmin(1)
    delta2 = ((q - q[nearest]) ** 2).sum(1)
    t = (delta2 / floor**2).clamp(max=1)
    return (len(q) * delta2.clamp(min=floor**2).sqrt()).log().mean() + 0.5 * (
        (t - 1) - 0.5 * (t - 1) ** 2
    ).mean()
