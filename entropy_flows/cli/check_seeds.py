"""What must hold of a campaign's seed cells before anything runs, and what is told of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from pymatgen.core import Structure

from entropy_flows.explore import Seed
from entropy_flows.geometry import shortest_distance, to_atoms
from entropy_flows.launch.seeds import campaign_seeds
from entropy_flows.schemas import Campaign
from entropy_flows.vacuum import vacuum_of

MIN_DISTANCE = 0.6
"""Shortest distance in a seed, as a fraction of the sum of covalent radii."""


def check_seeds(campaign: Campaign, base: Path, load_engine: bool) -> dict[str, Seed]:
    """Build the seed cells of all phases.

    Parameters
    ----------
    campaign
        Its file's content.
    base
        Folder that paths in it start from.
    load_engine
        Whether the label engine may be imported, for the moments that its labels start from.

    Returns
    -------
    dict
        Phase → seed.

    Raises
    ------
    ValueError
        In one line: which phase, what is wrong with it, and what was expected.
    """
    seeds = campaign_seeds(campaign, base, load_engine)
    for name, seed in seeds.items():
        cell = seed.cell
        if strange := sorted({site.specie.symbol for site in cell} - set(campaign.elements)):
            raise ValueError(
                f"phase {name!r} has {', '.join(strange)}, not in elements: {', '.join(campaign.elements)}"
            )
        if not np.isfinite(cell.cart_coords).all() or not cell.volume > 0:
            raise ValueError(f"phase {name!r}: positions or cell are not finite numbers")
        distance, ratio = shortest_distance(to_atoms(cell))
        if ratio < MIN_DISTANCE:
            raise ValueError(
                f"phase {name!r}: atoms overlap, the shortest distance is {distance:.2f} Å "
                f"({ratio:.2f} of the sum of covalent radii, at least {MIN_DISTANCE} is expected)"
            )
    return seeds


def vacuum_warnings(campaign: Campaign, seeds: Mapping[str, Structure]) -> list[str]:
    """What becomes of seeds that have no volume of their own.

    Raises
    ------
    ValueError
        If such a phase is to be explored under pressures alone.
    """
    warnings = []
    for name, cell in seeds.items():
        if (vacuum := vacuum_of(to_atoms(cell))) is None:
            continue
        what = (
            f"phase {name!r} is {vacuum}: the cell has a vacuum, V₀ (1 − P/B₀) has no meaning there"
        )
        under_pressure: set[float] = set()
        for number in range(1, max(1, len(campaign.iterations)) + 1):
            explore = campaign.iteration(number).explore
            if explore.phases is not None and name not in explore.phases:
                continue
            if 0 not in explore.pressures:
                raise ValueError(
                    f"{what}; explore.pressures must have 0 for it (got {_listed(explore.pressures)})"
                )
            under_pressure |= set(explore.pressures) - {0}
        refused = (
            f"; its runs at {_listed(sorted(under_pressure))} GPa are refused"
            if under_pressure
            else ""
        )
        warnings.append(f"{what}. It is explored in its cell as it is, at P = 0{refused}")
    return warnings


def _listed(pressures: tuple[float, ...] | list[float]) -> str:
    return ", ".join(f"{pressure:g}" for pressure in pressures)
