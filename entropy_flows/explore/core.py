"""Repulsion of atoms that come too close, for cells without any physics.

    V_core = Σ_pairs f(r),    f(r) = 1 + cos(π r/R_core) for r < R_core, else 0                (1)
    ∂V_core/∂r_i = Σ_j g(r_ij) (r_j − r_i),    g(r) = −f'(r)/r = (π/R_core)² sinc(r/R_core)    (2)

with sinc(x) = sin(πx)/(πx). Pairs of atoms with periodic images, also with an atom's own, count
once each; f and f' are zero at R_core, and (2) stays finite where two atoms meet.

Source: Subramanyam 2025, sections 2.1 and 5.1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from entropy_flows.batch import Batch
from entropy_flows.neighbors import neighbors


@dataclass(frozen=True)
class Core:
    """V_core of each cell of a batch, its gradient, and the shortest distances."""

    value: Tensor
    """V_core (B,)."""
    gradient: Tensor
    """∂V_core/∂r (n, 3) in 1/Å."""
    closest: Tensor
    """Shortest distance in each cell (B,) in Å; inf if it is not below R_core."""


def core_repulsion(batch: Batch, r_core: float) -> Core:
    """Compute V_core (1), its gradient (2), and the shortest distances.

    Parameters
    ----------
    batch
        Cells.
    r_core
        Range of the repulsion (Å).
    """
    pairs = neighbors(batch, r_core)
    r = pairs.vectors.norm(dim=1)
    owner = batch.cells.owner[pairs.centers]
    value = batch.positions.new_zeros(len(batch))
    # the list has each pair twice, once from either atom
    value.index_add_(0, owner, 0.5 * (1 + torch.cos(math.pi / r_core * r)))
    slope = (math.pi / r_core) ** 2 * torch.sinc(r / r_core)
    gradient = torch.zeros_like(batch.positions)
    gradient.index_add_(0, pairs.centers, slope[:, None] * pairs.vectors)
    closest = batch.positions.new_full((len(batch),), torch.inf).scatter_reduce(0, owner, r, "amin")
    return Core(value, gradient, closest)
