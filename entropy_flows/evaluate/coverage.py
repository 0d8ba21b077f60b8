"""What pools cover: their information at equal size, maps, and distances between them.

x̄_i       mean fingerprint of cell i
nearest   d_i = min_j |(x̄_i − x̄_j)/s|, s the standard deviation of each component over the cells j

A component that is the same in all cells j counts as it is.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from scipy.spatial import cKDTree

from entropy_flows.conventions import Array
from entropy_flows.entropy import MODES, Mode, SufficientStatistics
from entropy_flows.evaluate.curve import Mean, draw, draw_mixed

MIN_SPREAD = 1e-12
"""Standard deviation below which a component is the same in all cells."""


def information(sets: Iterable[Sequence[Array]], regularization: float) -> dict[Mode, Mean]:
    """Compute log det Σ of sets of cells, averaged over the sets.

    Parameters
    ----------
    sets
        Fingerprints (n_atoms, dim) of the cells of each set.
    regularization
        λ of the covariance.

    Returns
    -------
    dict
        Mode → mean and standard deviation.
    """
    values: dict[Mode, list[float]] = {mode: [] for mode in MODES}
    for prints in sets:
        for mode in MODES:
            values[mode].append(log_det(prints, regularization, mode))
    return {mode: Mean.of(entropies) for mode, entropies in values.items()}


def log_det(prints: Sequence[Array], regularization: float, mode: Mode) -> float:
    """Compute log det Σ of cells' fingerprints (n_atoms, dim)."""
    statistics = SufficientStatistics(prints[0].shape[1], regularization, mode)
    for q in prints:
        statistics.add(q)
    return statistics.entropy()


def equal_draws(
    pools: Mapping[str, Sequence[Array]],
    near_cells: Sequence[Array],
    size: int,
    share: float,
    least: int,
    seeds: Sequence[int],
) -> tuple[dict[str, list[list[Array]]], int]:
    """Draw sets of equally many cells of the pools that are compared.

    Parameters
    ----------
    pools
        Fingerprints of the pools "entropy" and "random", the baseline.
    near_cells
        Fingerprints of the near-equilibrium cells of the baseline.
    size
        Number of cells that each of the pools has.
    share
        Share of the mixed pool that is drawn from `near_cells`.
    least
        Smallest mixed pool. If `near_cells` does not suffice for so many cells there is none. Else
        all pools are compared at the largest size for which it suffices.
    seeds
        One for each draw. A pool that has no more cells is taken once, as it is: it has no spread.

    Returns
    -------
    tuple
        Pool → its draws, and the number of cells in each.
    """
    plain = {name: pools[name] for name in ("entropy", "random") if name in pools}
    mixed_sizes = [
        number for number in range(least, size + 1) if round(share * number) <= len(near_cells)
    ]
    has_mixed = len(plain) == 2 and bool(mixed_sizes)
    if has_mixed:
        size = mixed_sizes[-1]
    draws = {}
    for name, pool in plain.items():
        pool_seeds = seeds if size < len(pool) else seeds[:1]
        draws[name] = [draw(pool, size, seed) for seed in pool_seeds]
    if has_mixed:
        draws["mixed"] = [
            draw_mixed(pools["entropy"], near_cells, size, share, seed) for seed in seeds
        ]
    return draws, size


def nearest(cells: Sequence[Array], reference: Sequence[Array]) -> Array:
    """Compute each cell's distance (n,) from the nearest reference cell.

    Parameters
    ----------
    cells, reference
        Fingerprints (n_atoms, dim) of cells. Distances of their means are in standard deviations
        of the reference cells.
    """
    means = np.array([q.mean(axis=0) for q in cells])
    reference_means = np.array([q.mean(axis=0) for q in reference])
    spread = reference_means.std(axis=0)
    # A component without spread would be divided by zero; it counts as it is.
    spread[spread < MIN_SPREAD] = 1.0
    return nearest_points(means, reference_means, spread)


def nearest_points(points: Array, reference: Array, spread: Array) -> Array:
    """Compute each point's distance (n,) from the nearest reference point.

    Parameters
    ----------
    points, reference
        Mean fingerprints (n, dim) and (m, dim) of cells.
    spread
        What each component is divided by (dim,).
    """
    distances: Array = cKDTree(reference / spread).query(points / spread)[0]
    return distances


def has_umap() -> bool:
    """Return whether umap-learn (extra `umap`) is installed."""
    return importlib.util.find_spec("umap") is not None


def umap(means: Array, seed: int = 0) -> Array | None:
    """Map mean fingerprints (n, dim) to points (n, 2) of a plane.

    Returns
    -------
    ndarray or None
        None if umap-learn (extra `umap`) is not installed.
    """
    if not has_umap():
        return None
    from umap import UMAP

    return UMAP(n_neighbors=min(15, len(means) - 1), random_state=seed).fit_transform(means)
