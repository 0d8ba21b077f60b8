"""What several seeds say of one selector against another.

p          two-sided paired t-test over the seeds: t = ⟨δ⟩ / (s_δ/√n), δ the difference of one seed's two errors
A          [1/(N₂ − N₁)] ∫ error dN, by trapezoids from the smallest to the largest N: the mean height of the curve
saved      1 − N*/N₂, N* where the selector's mean curve first gets down to random's error at N₂, by straight lines
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.stats import ttest_rel

Curves = dict[int, dict[int, float]]
"""Seed → N → error."""


def curves(points: Sequence[Mapping[str, Any]], method: str, quantity: str) -> Curves:
    """A selector's errors on the held-out cells."""
    found: Curves = {}
    for point in points:
        value = point["errors"].get("held-out", {}).get(quantity)
        if point["method"] == method and value is not None:
            found.setdefault(point["seed"], {})[point["size"]] = value
    return found


def at(found: Curves, size: int) -> dict[int, float]:
    """Seed → error at one N."""
    return {seed: curve[size] for seed, curve in found.items() if size in curve}


def areas(found: Curves, sizes: Sequence[int]) -> dict[int, float]:
    """Seed → A, of the seeds that have all sizes; empty for a single size."""
    if len(sizes) < 2:
        return {}
    whole = {
        seed: [curve[n] for n in sizes]
        for seed, curve in found.items()
        if all(n in curve for n in sizes)
    }
    return {
        seed: float(np.trapezoid(curve, sizes)) / (sizes[-1] - sizes[0])
        for seed, curve in whole.items()
    }


def paired(ours: Mapping[int, float], theirs: Mapping[int, float]) -> float | None:
    """p over the seeds that both have; None with fewer than two, or where all differences are 0."""
    seeds = [seed for seed in ours if seed in theirs]
    pairs = np.array([[ours[seed], theirs[seed]] for seed in seeds]).reshape(-1, 2)
    if len(pairs) < 2 or not np.ptp(pairs, axis=1).any():
        return None
    if np.ptp(pairs[:, 0] - pairs[:, 1]) == 0:
        return 0.0  # the same difference for all seeds
    return float(ttest_rel(pairs[:, 0], pairs[:, 1]).pvalue)


def change(ours: Mapping[int, float], theirs: Mapping[int, float]) -> float | None:
    """Relative change of the mean over the seeds that both have: negative is better."""
    seeds = [seed for seed in ours if seed in theirs]
    if not seeds:
        return None
    return float(
        np.mean([ours[seed] for seed in seeds]) / np.mean([theirs[seed] for seed in seeds]) - 1
    )


def needed(found: Curves, sizes: Sequence[int], last: Mapping[int, float]) -> float | None:
    """N*, at which the mean curve first gets down to random's error.

    Parameters
    ----------
    found
        The selector's curves.
    sizes
        All N.
    last
        Seed → random's error at the largest N.

    Returns
    -------
    float or None
        None if it does not, or no seed has both. Over the seeds with all N that the selector has at
        all, so that each point of the curve and the error are means over the same ones.
    """
    own = [n for n in sizes if at(found, n)]
    seeds = [seed for seed, curve in found.items() if seed in last and all(n in curve for n in own)]
    if not seeds:
        return None
    error = np.mean([last[seed] for seed in seeds])
    means = [np.mean([found[seed][n] for seed in seeds]) for n in own]
    if means[0] <= error:
        return float(own[0])
    for n, (a, b) in enumerate(pairwise(means)):
        if a > error >= b:
            return float(own[n] + (a - error) / (a - b) * (own[n + 1] - own[n]))
    return None
