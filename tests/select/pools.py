"""Pools of candidates, and what selection makes of them by definition."""

import numpy as np

from entropy_flows.entropy import SufficientStatistics
from entropy_flows.select import Candidate

LAMBDA = 1e-3


def pool(n=60, seed=0, dim=5):
    """Cells of one to six atoms, most of them much like one another, in either mode."""
    rng = np.random.default_rng(seed)
    candidates = []
    for number in range(n):
        spread = rng.choice([0.02, 0.3, 1.0])
        q = 3 / (1 + np.arange(dim)) + spread * rng.normal(size=(rng.integers(1, 7), dim))
        candidates.append(Candidate(f"cell-{number}", q, str(rng.choice(["atom", "config"]))))
    return candidates


def empty(dim=5):
    """Statistics of nothing."""
    return {mode: SufficientStatistics(dim, LAMBDA, mode) for mode in ("atom", "config")}


def by_hand(candidates, theta, factor, budget=None):
    """((index, verdict, gain), …) and all vectors kept, from the definition; an empty set takes
    its first cell.
    """
    dim = candidates[0].q.shape[1]
    kept, decisions = {"atom": np.empty((0, dim)), "config": np.empty((0, dim))}, []

    def entropy(rows):
        scatter = np.cov(rows.T, bias=True) if len(rows) else np.zeros((dim, dim))
        return np.linalg.slogdet(scatter + LAMBDA * np.eye(dim))[1]

    for index, candidate in enumerate(candidates):
        if (
            budget is not None
            and sum(verdict == "accepted" for _, verdict, _ in decisions) == budget
        ):
            break
        rows = {"atom": candidate.q, "config": candidate.q.mean(axis=0, keepdims=True)}
        own = kept[candidate.mode]
        gain = entropy(np.vstack([own, rows[candidate.mode]])) - entropy(own)
        verdict = "near miss" if gain > factor * theta else "rejected"
        if gain > theta or len(own) == 0:
            verdict, kept = "accepted", {mode: np.vstack([kept[mode], rows[mode]]) for mode in kept}
        decisions.append((index, verdict, gain))
    return decisions, kept


def one_by_one(candidates, statistics, theta, factor):
    """(verdict, gain) of each, from gains asked for singly; the accepted enter the statistics."""
    for candidate in candidates:
        gain = statistics[candidate.mode].gain(candidate.q)
        if gain > theta or statistics[candidate.mode].n == 0:
            for stats in statistics.values():
                stats.add(candidate.q)
            yield "accepted", gain
        else:
            yield "near miss" if gain > factor * theta else "rejected", gain


def clouds(n, seed, fewest):
    """Make cells of `fewest` to six atoms in three clouds of different density, of 5 components."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(3, 5)) * 4
    cells = []
    for number in range(n):
        cloud = centres[0 if number < 0.7 * n else 1 + number % 2]
        q = cloud + rng.normal(size=(rng.integers(fewest, 7), 5)) * [2, 1, 1, 0.3, 1]
        cells.append(Candidate(str(number), q, "atom"))
    return cells
