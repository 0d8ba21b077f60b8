"""Scales for `GOMParams.scale`, from the fingerprints of cells that are like those to come.

    standardised   s_c = standard deviation of component c over all atoms
    per matrix     s_b = root mean square of those of matrix b's components

log det (Σ + λ) sees a component only where its variance is above λ: raw eigenvalues differ by
orders of magnitude, so the small ones, of many neighbours far away, count for nothing.
Standardised, all count alike; per matrix, those of one pair of species keep their proportions.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from entropy_flows.conventions import Array

LEAST = 1e-3
"""Least scale, in the largest: what hardly varies is not blown up into noise."""


def standard_scale(prints: Sequence[Array]) -> tuple[float, ...]:
    """One number for each component.

    Parameters
    ----------
    prints
        Raw fingerprints, (n_atoms, dim) each.
    """
    spread = np.concatenate(prints).std(axis=0)
    return tuple(np.maximum(spread, LEAST * spread.max()).tolist())


def block_scale(prints: Sequence[Array], natx: int) -> tuple[float, ...]:
    """Return one number for each matrix of `natx` eigenvalues."""
    spread = np.concatenate(prints).std(axis=0).reshape(-1, natx)
    scale = np.sqrt((spread**2).mean(axis=1))
    return tuple(np.maximum(scale, LEAST * scale.max()).tolist())
