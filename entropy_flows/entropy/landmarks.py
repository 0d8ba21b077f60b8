"""Landmarks of a kernel: those that leave the others least unknown, one after the other.

    next landmark  i* = argmax_i d_i,      ℓ = [k(·, x_i*) − Σ_m ℓ_m ℓ_m(i*)] / √d_i*            (1)
    d_i ← d_i − ℓ(i)²                                                                            (2)

d_i is the part of k(x_i, x_i) that the landmarks so far do not explain: the variance of a Gaussian
process at x_i that was told its values at the landmarks. It is a Cholesky decomposition with
pivots, stopped after M steps.

(Fine, Scheinberg, J. Mach. Learn. Res. 2, 243, 2001.)
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from entropy_flows.conventions import Array

SMALLEST_VARIANCE = 1e-10
"""Variance left, as a share of the largest at first, at which all points are explained."""


def pivoted_cholesky(
    column: Callable[[int], Array], diagonal: Array, landmarks: int
) -> NDArray[np.intp]:
    """Choose landmarks among n points.

    Parameters
    ----------
    column
        Number of a point → its kernel with all points (n,).
    diagonal
        Kernel of each point with itself (n,).
    landmarks
        Most landmarks.

    Returns
    -------
    ndarray
        Numbers of the landmarks (M,), in the order of choosing. They are fewer where all points
        are explained.
    """
    left = np.array(diagonal, dtype=float)
    limit = SMALLEST_VARIANCE * left.max(initial=0.0)
    factors = np.empty((min(landmarks, len(left)), len(left)))
    chosen: list[int] = []
    while len(chosen) < len(factors):
        index = int(np.argmax(left))
        if left[index] <= limit:
            break
        previous = factors[: len(chosen)]
        factor = (column(index) - previous[:, index] @ previous) / np.sqrt(left[index])
        factors[len(chosen)] = factor
        left = np.maximum(left - factor**2, 0.0)
        # Rounding leaves a rest where nothing is left: a point is not chosen twice.
        left[index] = 0.0
        chosen.append(index)
    return np.array(chosen, dtype=np.intp)
