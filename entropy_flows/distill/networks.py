"""The networks of a small model: Allegro or NequIP, of two sizes each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from ase import Atoms

from entropy_flows.train.recipe import Config, small_allegro, small_nequip

SIZES: dict[str, dict[str, dict[str, Any]]] = {
    "allegro": {
        "small": {"l_max": 2, "scalars": 24},
        "medium": {"layers": 2, "l_max": 1, "scalars": 32},
    },
    "nequip": {
        "small": {"layers": 2, "l_max": 1, "features": 16},
        "medium": {"layers": 3, "l_max": 2, "features": 16},
    },
}
"""Architecture → size → its parameters.

Of Allegro, `medium` has one layer more, and with it another body order, at twice the cost. Two
layers with l_max 2 take ten times the time. A NequIP passes messages: it reaches farther than its
cutoff, and is slower.
"""
ARCHITECTURES: dict[str, Callable[..., Config]] = {"allegro": small_allegro, "nequip": small_nequip}
"""Architecture → function that describes a network of it."""
MIN_CUTOFF = 5.0
"""Smallest cutoff of a network, Å."""
MAX_CUTOFF = 7.0
"""Largest cutoff of a network, Å: pairs grow with its cube."""
CUTOFF_BONDS = 1.5
"""Cutoff in units of the longest nearest-neighbour distance: second neighbours are within it."""


def new_network(
    architecture: str,
    size: str,
    elements: Sequence[str],
    frames: Sequence[Atoms],
    bond: float,
    seed: int,
) -> Config:
    """Describe a new network for `train.fine_tune`.

    Parameters
    ----------
    architecture, size
        Keys of `SIZES`.
    elements
        Chemical symbols that it is to know.
    frames
        Labelled training cells, for the energies of the elements that it counts from.
    bond
        Longest distance (Å) of an atom of the seeds to its nearest neighbour.
    seed
        Seed of the initial weights.

    Raises
    ------
    ValueError
        If there is no such architecture or size.
    """
    if architecture not in SIZES:
        raise ValueError(f"architecture {architecture!r}: expected {' or '.join(SIZES)}")
    if size not in SIZES[architecture]:
        raise ValueError(f"size {size!r}: expected {' or '.join(SIZES[architecture])}")
    cutoff = min(max(MIN_CUTOFF, round(CUTOFF_BONDS * bond, 1)), MAX_CUTOFF)
    return ARCHITECTURES[architecture](
        elements,
        cutoff=cutoff,
        energies=element_energies(frames, elements),
        seed=seed,
        **SIZES[architecture][size],
    )


def element_energies(frames: Sequence[Atoms], elements: Sequence[str]) -> Mapping[str, float]:
    """Fit one energy (eV) for an atom of each element to labelled cells, by least squares.

    Where the compositions leave it open, it is the smallest solution about the mean energy per
    atom. An element that is in no cell has the mean.
    """
    counts = np.array(
        [[atoms.get_chemical_symbols().count(symbol) for symbol in elements] for atoms in frames],
        dtype=float,
    )
    energies = np.array([atoms.get_potential_energy() for atoms in frames])
    atoms = counts.sum(axis=1)
    mean = float(energies.sum() / atoms.sum())
    # per atom, so that large cells do not weigh more
    excess = np.linalg.lstsq(counts / atoms[:, None], energies / atoms - mean, rcond=1e-6)[0]
    return {symbol: mean + float(shift) for symbol, shift in zip(elements, excess, strict=True)}
