"""How one selector compares with another over several seeds.

p          two-sided paired t-test over the seeds: t = ⟨δ⟩ / (s_δ/√n), δ the difference of one
           seed's two errors; and Wilcoxon's signed ranks of |δ|, which an outlier cannot decide
A          [1/(N₂ − N₁)] ∫ error dN, by trapezoids from the smallest to the largest N: the mean
           height of the curve
saved      1 − N*/N₂, N* where the selector's mean curve first gets down to random's error at N₂,
           by straight lines
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.stats import ttest_rel, wilcoxon

from entropy_flows.evaluate.curve import Ratio

Curves = dict[int, dict[int, float]]
"""Seed → N → error."""


def curves(points: Sequence[Mapping[str, Any]], method: str, quantity: str) -> Curves:
    """Return a selector's errors on the held-out cells."""
    by_seed: Curves = {}
    for point in points:
        error = point["errors"].get("held-out", {}).get(quantity)
        if point["method"] == method and error is not None:
            by_seed.setdefault(point["seed"], {})[point["size"]] = error
    return by_seed


def values_at(by_seed: Curves, size: int) -> dict[int, float]:
    """Return each seed's error at one N, of the seeds that have it."""
    return {seed: curve[size] for seed, curve in by_seed.items() if size in curve}


def areas(by_seed: Curves, sizes: Sequence[int]) -> dict[int, float]:
    """Return A of the seeds that have all sizes; empty for a single size."""
    if len(sizes) < 2:
        return {}
    width = sizes[-1] - sizes[0]
    return {
        seed: float(np.trapezoid([curve[size] for size in sizes], sizes)) / width
        for seed, curve in by_seed.items()
        if all(size in curve for size in sizes)
    }


def paired_p(errors: Mapping[int, float], baseline: Mapping[int, float]) -> float | None:
    """Return p over the seeds that both have.

    It is None with fewer than two seeds, or where all differences are 0.
    """
    seeds = [seed for seed in errors if seed in baseline]
    pairs = np.array([[errors[seed], baseline[seed]] for seed in seeds]).reshape(-1, 2)
    if len(pairs) < 2 or not np.ptp(pairs, axis=1).any():
        return None
    if np.ptp(pairs[:, 0] - pairs[:, 1]) == 0:
        # The same difference for all seeds: their spread is 0, and t has no value.
        return 0.0
    return float(ttest_rel(pairs[:, 0], pairs[:, 1]).pvalue)


def rank_p(errors: Mapping[int, float], baseline: Mapping[int, float]) -> float | None:
    """Return p of Wilcoxon's test over the seeds that both have.

    It is None with fewer than two seeds, or where all differences are 0.
    """
    differences = [errors[seed] - baseline[seed] for seed in errors if seed in baseline]
    if len(differences) < 2 or not np.any(differences):
        return None
    return float(wilcoxon(differences).pvalue)


def ratio_to(errors: Mapping[int, float], baseline: Mapping[int, float]) -> Ratio | None:
    """Return the ratio of the means over the seeds that both have; None if there are none.

    Its error is that of the paired differences: with d = e − r b of each seed and r the ratio,
    s_d / (√n ⟨b⟩).
    """
    seeds = [seed for seed in errors if seed in baseline]
    if not seeds:
        return None
    pairs = np.array([[errors[seed], baseline[seed]] for seed in seeds])
    mean, baseline_mean = pairs.mean(axis=0)
    ratio = float(mean / baseline_mean)
    if len(seeds) == 1:
        return Ratio(ratio, None)
    rest = pairs[:, 0] - ratio * pairs[:, 1]
    return Ratio(ratio, float(rest.std(ddof=1) / np.sqrt(len(seeds)) / baseline_mean))


def relative_change(errors: Mapping[int, float], baseline: Mapping[int, float]) -> float | None:
    """Return the relative change of the mean over the seeds that both have; negative is better."""
    seeds = [seed for seed in errors if seed in baseline]
    if not seeds:
        return None
    mean = np.mean([errors[seed] for seed in seeds])
    baseline_mean = np.mean([baseline[seed] for seed in seeds])
    return float(mean / baseline_mean - 1)


def size_to_reach(
    by_seed: Curves, sizes: Sequence[int], target: Mapping[int, float]
) -> float | None:
    """Return N*, at which the mean curve first gets down to an error.

    Parameters
    ----------
    by_seed
        The selector's curves.
    sizes
        All N.
    target
        Seed → error to reach: random's at the largest N.

    Returns
    -------
    float or None
        None if the curve does not get there, or no seed has both. Curve and target are means over
        the same seeds: those with all N that the selector has at all.
    """
    common = [size for size in sizes if values_at(by_seed, size)]
    seeds = [
        seed
        for seed, curve in by_seed.items()
        if seed in target and all(size in curve for size in common)
    ]
    if not seeds:
        return None
    error = np.mean([target[seed] for seed in seeds])
    means = [np.mean([by_seed[seed][size] for seed in seeds]) for size in common]
    if means[0] <= error:
        return float(common[0])
    for (low, above), (high, below) in pairwise(zip(common, means, strict=True)):
        if above > error >= below:
            return float(low + (above - error) / (above - below) * (high - low))
    return None
