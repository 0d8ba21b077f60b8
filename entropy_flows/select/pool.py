"""Selectors on a fixed pool: the cells at hand are the candidates, and as many are chosen as asked for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from entropy_flows.entropy import MODES, Mode, SufficientStatistics
from entropy_flows.select.base import Candidate, Selector, Verdict


def choose(
    selector: Selector,
    prints: Sequence[np.ndarray],
    wanted: int,
    seed: int,
    regularization: float = 1e-3,
    per_atom_fraction: float = 0.6,
) -> list[int]:
    """Choose from a pool, starting from nothing.

    Parameters
    ----------
    selector
        Any; it sees the pool in a random order.
    prints
        Fingerprints of the pool's cells, (n_atoms, dim) each.
    wanted
        How many cells.
    seed
        Of the order and of the candidates' covariance modes.
    regularization
        λ of the covariance.
    per_atom_fraction
        Chance that a cell is judged in per-atom mode.

    Returns
    -------
    list of int
        Places in the pool, in the order of choosing; fewer than wanted if the selector stops early.

    Raises
    ------
    ValueError
        If the pool has fewer cells than wanted.
    """
    if wanted > len(prints):
        raise ValueError(f"the pool has {len(prints)} cells, {wanted} are wanted")
    rng = np.random.default_rng([seed, len(prints)])
    order = rng.permutation(len(prints))
    modes: list[Mode] = ["atom" if draw < per_atom_fraction else "config" for draw in rng.random(len(prints))]
    statistics = {mode: SufficientStatistics(prints[0].shape[1], regularization, mode) for mode in MODES}
    candidates = (Candidate(str(place), prints[place], mode) for place, mode in zip(order, modes, strict=True))
    decisions = selector(candidates, statistics, wanted)
    return [int(order[each.index]) for each in decisions if each.verdict is Verdict.ACCEPTED]
