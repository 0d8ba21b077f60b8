"""Where cells are in the space of their mean fingerprints.

    x = (q̄ − ⟨q̄⟩) · u_1,   y = (q̄ − ⟨q̄⟩) · u_2                                              (1)
    novelty² = (q̄ − μ)ᵀ (C/N + λI)⁻¹ (q̄ − μ)                                                 (2)

q̄     mean fingerprint of a cell's atoms
u_i   principal components of all cells' q̄
μ, C  mean and scatter of the N cells of the data set; for one of these, of the others

Equation (2) is the leverage of a cell, as `SufficientStatistics` in mode "config" has it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from entropy_flows.conventions import Array
from entropy_flows.entropy.support import populated

MIN_UMAP = 10
"""Cells below which UMAP has no neighbourhoods to go by."""


@dataclass(frozen=True, eq=False)
class FingerprintMap:
    """Coordinates of some cells."""

    components: Array
    """x and y of equation (1), shape (n, 2)."""
    shares: tuple[float, ...]
    """Shares of the variance of both components."""
    novelty: Array
    """Equation (2), shape (n,); NaN where the data set has fewer than two cells."""
    umap: Array | None = None
    """Points of UMAP (n, 2); None if they were not asked for."""


def fingerprint_map(
    means: Array, others: Array, regularization: float, umap: bool = False
) -> FingerprintMap:
    """Place the cells of a data set, and others beside it.

    Parameters
    ----------
    means
        Mean fingerprints (n, dim) of the data set.
    others
        Mean fingerprints (m, dim) of other cells.
    regularization
        λ of the covariance.
    umap
        Whether UMAP is asked for, too.

    Returns
    -------
    FingerprintMap
        Of the n cells, then of the m.

    Raises
    ------
    ValueError
        If UMAP is asked for and not installed.
    """
    every = np.concatenate([means, others]) if len(others) else means
    components, shares = principal_components(every)
    points = _umap(every) if umap else None
    return FingerprintMap(components, shares, novelty(means, others, regularization), points)


def principal_components(means: Array) -> tuple[Array, tuple[float, ...]]:
    """Project mean fingerprints on their first two principal components.

    Parameters
    ----------
    means
        Mean fingerprints (n, dim).

    Returns
    -------
    tuple
        Points (n, 2), and the shares of the variance of both; zeros where there are fewer than two
        cells that differ.
    """
    points = np.zeros((len(means), 2))
    components = populated(means)
    if len(means) < 2 or len(components) == 0:
        return points, (0.0, 0.0)
    varying = means[:, components]
    centred = varying - varying.mean(axis=0)
    # the axes of n cells and d components are those of the smaller (d, d) matrix
    sizes, axes = np.linalg.eigh(centred.T @ centred)
    leading = axes[:, ::-1][:, :2]
    points[:, : leading.shape[1]] = centred @ leading
    total = max(float(sizes.sum()), 1e-300)
    shares = [float(size) / total for size in sizes[::-1][:2]]
    return points, (*shares, 0.0)[:2]


def novelty(means: Array, others: Array, regularization: float) -> Array:
    """Return the novelty of the cells of a data set, then of other cells, equation (2).

    Parameters
    ----------
    means, others
        Mean fingerprints (n, dim) and (m, dim).
    regularization
        λ of the covariance.
    """
    n = len(means)
    if n < 2:
        return np.full(n + len(others), np.nan)
    mean = means.mean(axis=0)
    deviations = means - mean
    scatter = deviations.T @ deviations
    λ = regularization * np.eye(scatter.shape[0])
    distances = np.concatenate([deviations, others - mean]) if len(others) else deviations
    of_others = n * _quadratic(scatter + n * λ, distances[n:])
    # Without cell i the scatter is C − s d dᵀ, and its distance from the mean d n/(n − 1).
    s = n / (n - 1)
    with_itself = _quadratic(scatter + (n - 1) * λ, deviations)
    alone = (n - 1) * s**2 * with_itself / (1 - s * with_itself)
    return np.sqrt(np.concatenate([alone, of_others]))


def _quadratic(matrix: Array, vectors: Array) -> Array:
    """Return vᵀ M⁻¹ v (n,) of each vector."""
    factor = np.linalg.cholesky(matrix)
    whitened = np.linalg.solve(factor, vectors.T)
    return np.einsum("di,di->i", whitened, whitened)


def check_umap() -> None:
    """Refuse to go on without UMAP.

    Raises
    ------
    ValueError
        If it is not installed.
    """
    from entropy_flows.evaluate import coverage

    if not coverage.has_umap():
        raise ValueError("--umap needs umap-learn: pip install 'entropy_flows[umap]'")


def _umap(means: Array) -> Array | None:
    """Return UMAP's points; None of fewer cells than it takes."""
    from entropy_flows.evaluate import coverage

    check_umap()
    return coverage.umap(means) if len(means) >= MIN_UMAP else None
