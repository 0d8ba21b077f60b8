"""Selectors on a fixed pool: the cells at hand are the candidates, and as many are chosen as asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from entropy_flows.entropy import MODES, Mode, SufficientStatistics
from entropy_flows.select.base import Candidate, DecisionStream, Selector, Verdict


@dataclass(frozen=True)
class Choice:
    """What was chosen of a pool."""

    places: list[int]
    """Places in the pool, in the order of choosing."""
    reason: str
    """Why they are fewer than wanted; "" if they are not."""


def choose(
    selector: Selector,
    prints: Sequence[np.ndarray],
    wanted: int,
    seed: int,
    regularization: float = 1e-3,
    per_atom_fraction: float = 0.6,
    known: Sequence[int] = (),
    uncertainty: np.ndarray | None = None,
) -> Choice:
    """Choose from a pool.

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
    known
        Places of cells that are in the data set already: the others are the candidates.
    uncertainty
        Of all cells (n,), for selectors that go by it.

    Raises
    ------
    ValueError
        If the pool has fewer cells left than wanted, or the selector needs uncertainties and none
        are given.
    """
    left = np.setdiff1d(np.arange(len(prints)), known)
    if wanted > len(left):
        said = f"{len(left)} of them left" if len(known) else "all to choose from"
        raise ValueError(f"the pool has {len(prints)} cells, {said}; {wanted} are wanted")
    rng = np.random.default_rng([seed, len(left)])
    order = left[rng.permutation(len(left))].tolist()
    modes: list[Mode] = [
        "atom" if draw < per_atom_fraction else "config" for draw in rng.random(len(left))
    ]
    statistics = {
        mode: SufficientStatistics(prints[0].shape[1], regularization, mode) for mode in MODES
    }
    for place in known:
        for stats in statistics.values():
            stats.add(prints[place])
    spread = [None] * len(prints) if uncertainty is None else uncertainty.tolist()
    candidates = [
        Candidate(str(place), prints[place], mode, spread[place])
        for place, mode in zip(order, modes, strict=True)
    ]
    centres = np.array([prints[place].mean(axis=0) for place in known]) if len(known) else None
    judged = DecisionStream(selector(candidates, statistics, wanted, centres))
    places = [order[each.index] for each in judged if each.verdict is Verdict.ACCEPTED]
    return Choice(places, judged.reason)
