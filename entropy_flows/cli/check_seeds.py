"""Check a campaign's seed cells before anything runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from entropy_flows.cli.check_sources import check_sources
from entropy_flows.geometry import to_atoms
from entropy_flows.launch.seeds import campaign_seeds
from entropy_flows.schemas import Campaign
from entropy_flows.vacuum import vacuum_of

if TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core import Structure

    from entropy_flows.explore import Seed

MIN_DISTANCE = 0.6
"""Shortest distance in a seed, as a fraction of the sum of covalent radii."""


def check_seeds(campaign: Campaign, base: Path, load_engine: bool) -> dict[str, Seed]:
    """Build the seed cells of all phases, and see that files with candidates are there.

    Parameters
    ----------
    campaign
        What the campaign file says.
    base
        Folder that the paths in it start from.
    load_engine
        True to import the label engine, for the moments that its labels start from.

    Returns
    -------
    dict
        Phase → seed.

    Raises
    ------
    ValueError
        In one line: which phase or file, what is wrong with it, and what was expected.
    """
    check_sources(campaign)
    seeds = campaign_seeds(campaign, base, load_engine)
    for name, seed in seeds.items():
        cell = seed.cell
        foreign = {site.specie.symbol for site in cell} - set(campaign.elements)
        if foreign:
            names = ", ".join(sorted(foreign))
            elements = ", ".join(campaign.elements)
            raise ValueError(f"phase {name!r} has {names}, not in elements: {elements}")
        if not np.isfinite(cell.cart_coords).all() or not cell.volume > 0:
            raise ValueError(f"phase {name!r}: positions or cell are not finite numbers")
        distance, ratio = closest_pair(to_atoms(cell))
        if ratio < MIN_DISTANCE:
            raise ValueError(
                f"phase {name!r}: atoms overlap, the shortest distance is {distance:.2f} Å "
                f"({ratio:.2f} of the sum of covalent radii, at least {MIN_DISTANCE} is expected)"
            )
    return seeds


def closest_pair(atoms: Atoms) -> tuple[float, float]:
    """Return what `geometry.shortest_distance` does, without torch, which takes seconds to import.

    Returns
    -------
    tuple of float
        Shortest distance in Å, and the smallest one in units of the sum of covalent radii.
    """
    from ase.data import covalent_radii
    from ase.neighborlist import neighbor_list

    radii = covalent_radii[atoms.numbers]
    first, second, distances = neighbor_list("ijd", atoms, 2 * float(radii.max()) + 2.0)
    if not len(distances):
        return np.inf, np.inf
    ratios = distances / (radii[first] + radii[second])
    return float(distances.min()), float(ratios.min())


def vacuum_warnings(campaign: Campaign, seeds: Mapping[str, Structure]) -> list[str]:
    """Warn of seeds with a vacuum, whose volume no pressure changes.

    Parameters
    ----------
    campaign
        What the campaign file says.
    seeds
        Phase → seed cell.

    Raises
    ------
    ValueError
        If such a phase is to be explored under pressures alone.
    """
    warnings = []
    for name, cell in seeds.items():
        vacuum = vacuum_of(to_atoms(cell))
        if vacuum is None:
            continue
        message = (
            f"phase {name!r} is {vacuum}: the cell has a vacuum, V₀ (1 − P/B₀) has no meaning there"
        )
        pressures = _pressures(campaign, name, message)
        refused = ""
        if pressures:
            refused = f"; its runs at {_listed(sorted(pressures))} GPa are refused"
        warnings.append(f"{message}. It is explored in its cell as it is, at P = 0{refused}")
    return warnings


def _pressures(campaign: Campaign, phase: str, message: str) -> set[float]:
    """Return the pressures (GPa) other than 0 that a phase is to be explored at.

    Raises
    ------
    ValueError
        If 0 is not among the pressures of an iteration; it begins with the message.
    """
    pressures: set[float] = set()
    for number in range(1, max(1, len(campaign.iterations)) + 1):
        explore = campaign.iteration(number).explore
        if explore.phases is not None and phase not in explore.phases:
            continue
        if 0 not in explore.pressures:
            given = _listed(explore.pressures)
            raise ValueError(f"{message}; explore.pressures must have 0 for it (got {given})")
        pressures |= set(explore.pressures) - {0}
    return pressures


def _listed(pressures: Iterable[float]) -> str:
    return ", ".join(f"{pressure:g}" for pressure in pressures)
