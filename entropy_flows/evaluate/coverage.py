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


def information(
    prints: Sequence[np.ndarray], size: int, regularization: float, seeds: Iterable[int]
) -> dict[Mode, Mean]:
    """log det Σ of `size` cells, averaged over draws.

    Parameters
    ----------
    prints
        Fingerprints of the pool's cells, (n_atoms, dim) each.
    size
        Cells of a draw.
    regularization
        λ of the covariance.
    seeds
        One a draw.

    Returns
    -------
    dict
        Mode → mean and standard deviation.
    """
    values: dict[Mode, list[float]] = {mode: [] for mode in MODES}
    for seed in seeds:
        chosen = draw(prints, size, seed)
        for mode in MODES:
            values[mode].append(log_det(chosen, regularization, mode))
    return {mode: Mean.of(found) for mode, found in values.items()}


def log_det(prints: Sequence[np.ndarray], regularization: float, mode: Mode) -> float:
    """log det Σ of cells' fingerprints, (n_atoms, dim) each."""
    stats = SufficientStatistics(prints[0].shape[1], regularization, mode)
    for q in prints:
        stats.add(q)
    return stats.entropy()


def with_mixed(
    pools: Mapping[str, Sequence[np.ndarray]],
    near: Sequence[np.ndarray],
    size: int,
    share: float,
    least: int,
    seed: int = 0,
) -> tuple[dict[str, Sequence[np.ndarray]], int]:
    """The pools to compare, and at how many cells each.

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
        Where `near` suffices for no mixed pool of so many cells, there is none; else all are compared at the size for
        which it suffices.
    seed
        Of the mixed pool's draw.
    """
    found: dict[str, Sequence[np.ndarray]] = {name: pools[name] for name in ("entropy", "random") if name in pools}
    enough = [number for number in range(least, size + 1) if round(share * number) <= len(near)]
    if len(found) < 2 or not enough:
        return found, size
    found["mixed"] = draw_mixed(pools["entropy"], near, enough[-1], share, seed)
    return found, enough[-1]


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
