"""Local entropy with a soft minimum: a surface without walls and without jumps of its force.

    S_soft = (1/N) Σ_i log(N δ_i),    log δ_i = −(τ/2) log Σ_{j≠i} x_ij^(−1/τ)                   (1)
    x_ij = ‖q_i − q_j‖² + δ₀²
    ∂(log δ_i)/∂q_i = Σ_j w_ij (q_i − q_j)/x_ij,    w_ij = x_ij^(−1/τ) / Σ_l x_il^(−1/τ)         (2)

and minus each term of (2) for its q_j. (1) is a log-sum-exp of −log(x_ij)/τ over the neighbours of
an atom in the space of fingerprints. It is at most the logarithm of the nearest one, and that for
τ → 0; with δ₀ → 0 as well it is the S_local of Wang 2026.

=======  =====================================================================================
symbol   meaning
=======  =====================================================================================
N        atoms in the cell
q_i      fingerprint of atom i, raw
δ₀       `floor`: distance below which two environments differ by thermal motion alone
τ        `softness`: the minimum is over distances whose logarithms differ by less than about τ
=======  =====================================================================================

**The floor.** Vibrations make the environments of a crystal's atoms differ, and so much is no news
to a data set. So δ₀ is what they make at room temperature (`thermal_distance`): two environments
that are nearer lose their pull, and an encounter below δ₀ has no wall.
(1) is analytic in q everywhere. Its slope with the distance is at most 1/(2 N δ₀) for each atom,
and its curvature beyond the steepest point at most 1/(8 N δ₀²).

**The softness.** Where two neighbours are equally near, (1) bends by 1/(2τ) for each unit of log δ;
the logarithm itself bends by 1. With τ = 1/2 one neighbour takes over from another no more abruptly
than the distance to a single one acts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from ase import Atoms
from numba import njit
from torch import Tensor

from entropy_flows.entropy.local import by_size, check_finite, populated_columns
from entropy_flows.fingerprints import Fingerprint
from entropy_flows.geometry import shortest_distance

SOFTNESS = 0.5
"""Default softness τ."""
DISPLACEMENT = 0.05
"""Displacement of an atom, as a fraction of the distance to its nearest neighbour: the root mean
square of stiff crystals at room temperature. Soft ones have more, and all have 10 % where they melt
(Lindemann).
"""
FEWEST_ATOMS = 8
"""Smaller cells are doubled along each vector before they are displaced."""
COPIES = 16
"""Displaced copies of a cell that are compared with one another."""


def soft_entropies(
    q: Tensor, sizes: Sequence[int], *, floor: float, softness: float = SOFTNESS
) -> tuple[Tensor, Tensor]:
    """Compute S_soft (n_cells,) of a batch of cells and its derivative (n_atoms, dim).

    Parameters
    ----------
    q
        Fingerprints (n_atoms, dim) of all cells, one cell after another.
    sizes
        Atoms in each cell. An atom alone in its cell has nothing to differ from: S is log(floor)
        and the derivative zero.
    floor
        δ₀ > 0, in the units of q.
    softness
        τ > 0.

    Raises
    ------
    ValueError
        If floor or softness is not positive, or a fingerprint is not finite. On a GPU the host
        would have to wait for the latter: S and derivative are then nan in their cell.
    """
    for name, value in (("floor", floor), ("softness", softness)):
        if not (np.isfinite(value) and value > 0):
            raise ValueError(f"{name} is {value}; it must be positive and finite")
    if q.device.type == "cpu":
        first = np.cumsum([0, *sizes])
        arrays = _loop(q.numpy(), first, float(floor), float(softness))
        S, dS_dq = map(torch.from_numpy, arrays)
    else:
        return soft_on_device(q, sizes, floor, softness)
    check_finite(S, q)
    return S, dS_dq


def thermal_distance(
    fingerprint: Fingerprint, cells: Sequence[Atoms], displacement: float = DISPLACEMENT
) -> float:
    """Return the distance between fingerprints that thermal motion alone makes: a floor δ₀.

    Every atom is compared with itself in `COPIES` copies of its cell, whose atoms are displaced at
    random. The result is the geometric mean of the distances to the nearest copy, as S_local takes
    a mean of logarithms. Cells count alike, whatever their size.

    Parameters
    ----------
    fingerprint
        Fingerprint of the local entropy.
    cells
        Crystals of the phases.
    displacement
        Root mean square of an atom's displacement, as a fraction of the cell's shortest distance.

    Raises
    ------
    ValueError
        If there are no cells, or the fingerprints do not change with the positions.
    """
    logs = [_mean_log_distance(fingerprint, atoms, displacement) for atoms in cells]
    finite = [value for value in logs if value is not None]
    if not finite:
        raise ValueError(
            f"{len(cells)} cells have no thermal distance between fingerprints: the atoms of at "
            f"least one must have neighbours within the fingerprint's cutoff"
        )
    return float(np.exp(np.mean(finite)))


def _mean_log_distance(fingerprint: Fingerprint, atoms: Atoms, displacement: float) -> float | None:
    """Return the mean logarithm of the distance to the nearest copy of an atom itself.

    It is None if no atom's fingerprint changes with the positions.
    """
    shortest = shortest_distance(atoms)[0]
    if not np.isfinite(shortest):
        return None
    if len(atoms) < FEWEST_ATOMS:
        # one atom and its images move together: no environment changes
        atoms = atoms * (2, 2, 2)
    spread = displacement * shortest / np.sqrt(3)
    # a floor is part of the surface: the same whenever and wherever it is computed
    rng = np.random.default_rng(0)
    copies = []
    for _ in range(COPIES):
        copy = Atoms(atoms.symbols, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
        copy.positions += spread * rng.standard_normal(copy.positions.shape)
        copies.append(copy)
    q = np.array(fingerprint(copies))
    squares = np.array([((q - other) ** 2).sum(axis=-1) for other in q])
    squares[np.arange(COPIES), np.arange(COPIES)] = np.inf
    nearest = squares.min(axis=0)
    return float(0.5 * np.log(nearest[nearest > 0]).mean()) if nearest.any() else None


@njit(cache=True, error_model="numpy", fastmath={"reassoc", "contract"})
def _loop(full, first, floor, softness):
    """Compute S and its derivative, one pair of atoms after another."""
    columns, q = populated_columns(full)
    entropy = np.zeros(len(first) - 1)
    # packed like q: the innermost loop then runs over neighbouring numbers
    packed = np.zeros_like(q)
    for cell in range(len(entropy)):
        start = first[cell]
        N = first[cell + 1] - start
        if N == 1:
            entropy[cell] = np.log(floor)
            continue
        x, least = _shifted_squares(q[start : start + N], floor)
        total = np.zeros(N)
        for i in range(N):
            for j in range(i):
                # divided by the least, nothing overflows however small τ is
                total[i] += _power(least[i] / x[i, j], softness)
                total[j] += _power(least[j] / x[i, j], softness)
        for i in range(N):
            entropy[cell] += 0.5 * (np.log(least[i]) - softness * np.log(total[i])) / N  # (1)
        entropy[cell] += np.log(N)
        for i in range(N):
            for j in range(i):
                w = _power(least[i] / x[i, j], softness) / total[i]
                w += _power(least[j] / x[i, j], softness) / total[j]
                s = w / x[i, j] / N  # (2), for i and for j
                for c in range(len(columns)):
                    pull = s * (q[start + i, c] - q[start + j, c])
                    packed[start + i, c] += pull
                    packed[start + j, c] -= pull
    gradient = np.zeros_like(full)
    for c in range(len(columns)):
        gradient[:, columns[c]] = packed[:, c]
    return entropy, gradient


@njit(cache=True, error_model="numpy", fastmath={"reassoc", "contract"})
def _shifted_squares(q, floor):
    """Return x of fingerprints (N, p) below the diagonal of (N, N), and the least of each (N,)."""
    N = len(q)
    x = np.empty((N, N))
    least = np.full(N, np.inf)
    for i in range(N):
        for j in range(i):
            square = floor**2
            for c in range(q.shape[1]):
                square += (q[i, c] - q[j, c]) ** 2
            x[i, j] = square
            least[i] = min(least[i], square)
            least[j] = min(least[j], square)
    return x, least


@njit(cache=True, error_model="numpy")
def _power(ratio, softness):
    """Return ratio^(1/τ); a general power costs ten times the square."""
    return ratio * ratio if softness == 0.5 else ratio ** (1 / softness)


def soft_on_device(
    q: Tensor, sizes: Sequence[int], floor: float, softness: float
) -> tuple[Tensor, Tensor]:
    """Do `soft_entropies` by tensor operations."""
    return by_size(q, sizes, lambda cells: _of_equal_size(cells, floor, softness))


def _of_equal_size(q: Tensor, floor: float, softness: float) -> tuple[Tensor, Tensor]:
    """Compute S (B,) and its derivative (B, N, dim) for fingerprints (B, N, dim)."""
    B, N, _ = q.shape
    if N == 1:
        return q.new_full((B,), float(np.log(floor))), torch.zeros_like(q)
    # Matrix products would cancel the digits of small distances.
    distance = torch.cdist(q, q, compute_mode="donot_use_mm_for_euclid_dist")
    x = distance.square_().add_(floor**2)
    x.diagonal(dim1=1, dim2=2).fill_(torch.inf)
    terms = x.log().div_(-softness)
    S = terms.logsumexp(dim=2).mean(dim=1) * (-softness / 2) + math.log(N)  # (1)
    w = terms.softmax(dim=2).div_(x)
    s = w + w.mT  # (2), for i and for j
    # s @ q alone would lose the digits that all fingerprints of a cell have in common
    around = q - q.mean(dim=1, keepdim=True)
    pull = s.sum(dim=2, keepdim=True) * around
    return S, torch.baddbmm(pull, s, around, beta=1 / N, alpha=-1 / N)
