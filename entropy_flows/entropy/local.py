"""Local entropy of one cell: how different its atoms' environments are from one another.

    S_local = (1/N) Σ_i log(N δ_i),    δ_i = min_{j≠i} ‖q_i − q_j‖

log δ diverges where two atoms see the same environment, as in any perfect crystal. Below a floor δ₀ it is continued by
its own Taylor series in t = (δ/δ₀)²

    log δ  →  log δ₀ + ½ [(t − 1) − ½ (t − 1)²]    for t < 1                                                         (1)
    ∂ log δ_i / ∂q_i = s_i (q_i − q_j) = −∂ log δ_i / ∂q_j,    s = 1/δ² above the floor, (2 − t)/δ₀² below it        (2)

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

import numpy as np
from scipy.spatial.distance import cdist

from entropy_flows.conventions import Array

FLOOR = 1e-3
"""Default floor δ₀."""


def local_entropy(q: Array, *, floor: float = FLOOR) -> tuple[float, Array]:
    """S_local of a cell and its derivative.

    Above the floor this is the paper's formula to the last digit. Below it, value, slope and curvature stay continuous;
    the derivative is at most 1.09/(N · floor) for each atom and goes to zero with δ. A perfect crystal has
    S = log(N · floor) − 3/4 and no bias force, where the bare logarithm has −∞ and a force made of round-off. The
    default lies below the δ of thermal crystals (silicon at a cutoff of 3 Å has a median of 0.005 when its atoms are
    displaced by 0.03 Å, of 0.02 at 0.1 Å), so that it acts only while a symmetric start breaks up.

    Parameters
    ----------
    q
        Fingerprints (n_atoms, dim).
    floor
        δ₀ > 0.

    Returns
    -------
    S, dS_dq
        The entropy, and its derivative (n_atoms, dim). An atom alone in its cell has nothing to differ from and counts
        as δ = 0: S is the constant log(floor) − 3/4 and the derivative zero.
    """
    q = _checked(q, floor)
    N = len(q)
    distance = cdist(q, q)
    np.fill_diagonal(distance, np.inf)
    i, j = np.arange(N), distance.argmin(axis=1)
    delta = distance[i, j] if N > 1 else np.zeros(1)

    t = np.minimum(delta / floor, 1.0) ** 2
    S = np.log(N * np.maximum(delta, floor)) + 0.5 * ((t - 1) - 0.5 * (t - 1) ** 2)  # (1)
    s = (2 - t) / np.maximum(delta, floor) ** 2  # (2): t = 1 above the floor
    pull = s[:, None] * (q - q[j]) / N
    dS_dq = pull.copy()
    np.subtract.at(dS_dq, j, pull)
    return float(S.mean()), dS_dq


def _checked(q: Array, floor: float) -> Array:
    q = np.asarray(q, dtype=np.float64)
    if not (np.isfinite(floor) and floor > 0):
        raise ValueError(f"floor is {floor}; it must be positive and finite")
    if q.ndim != 2 or len(q) == 0:
        raise ValueError(f"fingerprints have shape {q.shape}; they must be (n_atoms, dim) with at least 1 atom")
    if not np.isfinite(q).all():
        raise ValueError(f"fingerprint of atom {int(np.argmin(np.isfinite(q).all(axis=1)))} is not finite")
    return q
