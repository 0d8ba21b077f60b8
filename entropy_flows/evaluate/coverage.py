"""What pools cover: their information at equal size, maps of them, and the distance from one to another.

x̄_i       mean fingerprint of cell i
nearest   d_i = min_j |(x̄_i − x̄_j)/s|, s the standard deviation of each component over the cells j

A component that is the same in all cells j counts as it is.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from scipy.spatial import cKDTree

from entropy_flows.entropy import MODES, Mode, SufficientStatistics
from entropy_flows.evaluate.curve import Mean, draw, draw_mixed


def information(sets: Iterable[Sequence[np.ndarray]], regularization: float) -> dict[Mode, Mean]:
    """log det Σ of sets of cells, averaged over the sets.

    Parameters
    ----------
    sets
        Fingerprints of the cells of each, (n_atoms, dim) each.
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
    return {mode: Mean.of(found) for mode, found in values.items()}


def log_det(prints: Sequence[np.ndarray], regularization: float, mode: Mode) -> float:
    """log det Σ of cells' fingerprints, (n_atoms, dim) each."""
    stats = SufficientStatistics(prints[0].shape[1], regularization, mode)
    for q in prints:
        stats.add(q)
    return stats.entropy()


def equal_draws(
    pools: Mapping[str, Sequence[np.ndarray]],
    near: Sequence[np.ndarray],
    size: int,
    share: float,
    least: int,
    seeds: Sequence[int],
) -> tuple[dict[str, list[list[np.ndarray]]], int]:
    """Sets of equally many cells of the pools to compare, and how many cells each has.

    Parameters
    ----------
    pools
        The entropy pool and the baseline.
    near
        The near-equilibrium cells of the baseline.
    size
        Cells that each of the pools has.
    share
        Of the mixed pool, what is from `near`.
    least
        Where `near` suffices for no mixed pool of so many cells, there is none; else all are
        compared at the size for which it suffices.
    seeds
        One a draw. A pool that has no more cells is taken once, as it is: it has no spread.
    """
    own = {name: pools[name] for name in ("entropy", "random") if name in pools}
    enough = [number for number in range(least, size + 1) if round(share * number) <= len(near)]
    mixed = len(own) == 2 and bool(enough)
    size = enough[-1] if mixed else size
    found = {
        name: [draw(pool, size, seed) for seed in (seeds if size < len(pool) else seeds[:1])]
        for name, pool in own.items()
    }
    if mixed:
        found["mixed"] = [draw_mixed(pools["entropy"], near, size, share, seed) for seed in seeds]
    return found, size


def nearest(cells: Sequence[np.ndarray], others: Sequence[np.ndarray]) -> np.ndarray:
    """Distance of each cell's mean fingerprint from the nearest of others (n,), in their standard deviations."""
    means, reference = (np.array([q.mean(axis=0) for q in group]) for group in (cells, others))
    spread = reference.std(axis=0)
    spread[spread < 1e-12] = 1.0
    return cKDTree(reference / spread).query(means / spread)[0]


def umap(means: np.ndarray, seed: int = 0) -> np.ndarray | None:
    """Places (n, 2) of mean fingerprints (n, dim) on a map; None if umap-learn (extra `umap`) is not installed."""
    if importlib.util.find_spec("umap") is None:
        return None
    from umap import UMAP

    return UMAP(n_neighbors=min(15, len(means) - 1), random_state=seed).fit_transform(means)
