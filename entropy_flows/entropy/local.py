"""Local entropy of one cell: how different its atoms' environments are from one another.

    S_local = (1/N) Σ_i log(N δ_i),    δ_i = min_{j≠i} ‖q_i − q_j‖

log δ diverges where two atoms see the same environment, as in any perfect crystal. Below a floor δ₀
it is continued by its own Taylor series in t = (δ/δ₀)²

    log δ  →  log δ₀ + ½ [(t − 1) − ½ (t − 1)²]    for t < 1                                     (1)
    ∂ log δ_i / ∂q_i = s_i (q_i − q_j) = −∂ log δ_i / ∂q_j,
    s = 1/δ² above the floor, (2 − t)/δ₀² below it                                               (2)

=======  =====================================================================================
symbol   meaning
=======  =====================================================================================
N        atoms in the cell
q_i      fingerprint of atom i, raw
j        the atom whose fingerprint is nearest to that of i
δ₀       `floor`, in the units of q
=======  =====================================================================================
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
import torch
from numba import njit
from torch import Tensor

from entropy_flows.conventions import Array

FLOOR = 1e-3
"""Default floor δ₀."""


def local_entropy(q: Array, *, floor: float = FLOOR) -> tuple[float, Array]:
    """Compute S_local of a cell and its derivative.

    Above the floor this is the formula of Wang 2026 to the last digit. Below it, value, slope and
    curvature stay continuous; the derivative is at most 1.09/(N · floor) for each atom and goes to
    zero with δ. A perfect crystal has S = log(N · floor) − 3/4 and no bias force, where the bare
    logarithm has −∞ and a force made of round-off. The default lies below the δ of thermal crystals
    (silicon at a cutoff of 3 Å has a median of 0.005 when its atoms are displaced by 0.03 Å, of
    0.02 at 0.1 Å), so that it acts only while a symmetric start breaks up.

    Parameters
    ----------
    q
        Fingerprints (n_atoms, dim).
    floor
        δ₀ > 0.

    Returns
    -------
    S, dS_dq
        The entropy, and its derivative (n_atoms, dim). An atom alone in its cell has nothing to
        differ from and counts as δ = 0: S is the constant log(floor) − 3/4 and the derivative zero.
    """
    q = np.asarray(q, dtype=np.float64)
    if q.ndim != 2 or len(q) == 0:
        raise ValueError(
            f"fingerprints have shape {q.shape}; they must be (n_atoms, dim) with at least 1 atom"
        )
    S, dS_dq = local_entropies(torch.from_numpy(q), [len(q)], floor=floor)
    return float(S[0]), dS_dq.numpy()


def local_entropies(
    q: Tensor, sizes: Sequence[int], *, floor: float = FLOOR
) -> tuple[Tensor, Tensor]:
    """Compute S_local (n_cells,) of a batch of cells and its derivative (n_atoms, dim).

    Parameters
    ----------
    q
        Fingerprints (n_atoms, dim) of all cells, one cell after another.
    sizes
        Atoms in each cell.
    floor
        δ₀ > 0.

    Raises
    ------
    ValueError
        On a CPU for fingerprints that are not finite. On a GPU the host would have to wait for
        that: S and derivative are then nan in their cell.
    """
    if not (np.isfinite(floor) and floor > 0):
        raise ValueError(f"floor is {floor}; it must be positive and finite")
    if q.device.type == "cpu":
        S, dS_dq = map(torch.from_numpy, _loop(q.numpy(), np.cumsum([0, *sizes]), float(floor)))
    else:
        return on_device(q, sizes, floor)
    check_finite(S, q)
    return S, dS_dq


def check_finite(S: Tensor, q: Tensor) -> None:
    """Refuse fingerprints q (n_atoms, dim) whose entropies (n_cells,) are not finite."""
    if not bool(torch.isfinite(S.sum())):
        finite = torch.isfinite(q).all(dim=1)
        raise ValueError(f"fingerprint of atom {int(finite.int().argmin())} is not finite")


@njit(cache=True, error_model="numpy", fastmath={"reassoc", "contract"})
def _loop(full, first, floor):
    """Compute S and its derivative, one pair of atoms after another."""
    columns, q = populated_columns(full)
    entropy = np.zeros(len(first) - 1)
    gradient = np.zeros_like(full)
    nearest = np.full(len(q), np.inf)
    partner = np.zeros(len(q), dtype=np.int64)
    for cell in range(len(entropy)):
        atoms = range(first[cell], first[cell + 1])
        for i in atoms:
            for j in range(first[cell], i):
                square = 0.0
                for c in range(len(columns)):
                    square += (q[i, c] - q[j, c]) ** 2
                if square < nearest[i]:
                    nearest[i] = square
                    partner[i] = j
                if square < nearest[j]:
                    nearest[j] = square
                    partner[j] = i
        N = len(atoms)
        for i in atoms:
            delta = np.sqrt(nearest[i]) if N > 1 else 0.0
            above = max(delta, floor)
            t = min(delta / floor, 1.0) ** 2
            entropy[cell] += (np.log(N * above) + 0.5 * ((t - 1) - 0.5 * (t - 1) ** 2)) / N  # (1)
            s = (2 - t) / above**2 / N if N > 1 else 0.0  # (2): t = 1 above the floor
            for c in range(len(columns)):
                pull = s * (q[i, c] - q[partner[i], c])
                gradient[i, columns[c]] += pull
                gradient[partner[i], columns[c]] -= pull
    return entropy, gradient


@njit(cache=True)
def populated_columns(q):
    """Return the columns (p,) in which some atom of (n, dim) is not 0, and these alone (n, p).

    A spectrum is padded with zeros, which are most of it where the cutoff is short.
    """
    columns = np.empty(q.shape[1], dtype=np.int64)
    count = 0
    for c in range(q.shape[1]):
        for i in range(len(q)):
            if q[i, c] != 0:
                columns[count] = c
                count += 1
                break
    columns = columns[:count]
    packed = np.empty((len(q), count))
    for i in range(len(q)):
        for c in range(count):
            packed[i, c] = q[i, columns[c]]
    return columns, packed


def on_device(q: Tensor, sizes: Sequence[int], floor: float) -> tuple[Tensor, Tensor]:
    """Do `local_entropies` by tensor operations."""
    return by_size(q, sizes, lambda cells: _of_equal_size(cells, floor))


def by_size(
    q: Tensor, sizes: Sequence[int], evaluate: Callable[[Tensor], tuple[Tensor, Tensor]]
) -> tuple[Tensor, Tensor]:
    """Evaluate cells of equal size together: (B, N, dim) → values (B,), derivatives (B, N, dim).

    Returns
    -------
    values, derivatives
        Of all cells, (n_cells,) and (n_atoms, dim).
    """
    if len(set(sizes)) == 1:
        S, dS_dq = evaluate(q.view(len(sizes), sizes[0], -1))
        return S, dS_dq.view(q.shape)
    S = q.new_empty(len(sizes))
    dS_dq = torch.empty_like(q)
    for cells, atoms in _by_size(tuple(sizes), q.device):
        S[cells], dS_dq[atoms] = evaluate(q[atoms])
    return S, dS_dq


@lru_cache(maxsize=8)
def _by_size(sizes: tuple[int, ...], device: torch.device) -> list[tuple[Tensor, Tensor]]:
    """Return cells (B,) and atoms (B, N) of each size; a GPU's host waits for a copy to it."""
    first = np.cumsum([0, *sizes])
    tables = []
    for size in sorted(set(sizes)):
        cells = np.flatnonzero(np.array(sizes) == size)
        atoms = first[cells][:, None] + np.arange(size)
        tables.append((torch.from_numpy(cells).to(device), torch.from_numpy(atoms).to(device)))
    return tables


def _of_equal_size(q: Tensor, floor: float) -> tuple[Tensor, Tensor]:
    """Compute S (B,) and its derivative (B, N, dim) for fingerprints (B, N, dim)."""
    B, N, dim = q.shape
    if N == 1:
        return q.new_full((B,), float(np.log(floor)) - 0.75), torch.zeros_like(q)
    # Matrix products would cancel the digits of small distances.
    distance = torch.cdist(q, q, compute_mode="donot_use_mm_for_euclid_dist")
    distance.diagonal(dim1=1, dim2=2).fill_(torch.inf)
    delta, j = distance.min(dim=2)
    above = delta.clamp(min=floor)
    t = (delta / above).square_()  # 1 above the floor
    S = torch.addcmul(t, t, t, value=-0.25).add_(above.log())  # (1), but for log N − ¾
    s = torch.rsub(t, 2 / N, alpha=1 / N).div_(above.square_())  # (2), over N
    index = j[:, :, None].expand(B, N, dim)
    pull = (q - q.gather(1, index)).mul_(s[:, :, None])
    return S.mean(dim=1) + (math.log(N) - 0.75), pull.scatter_add(1, index, -pull)
