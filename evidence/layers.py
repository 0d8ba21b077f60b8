"""Count the cells that began as graphite and keep their layers, and those with small forces.

Example: python evidence/layers.py --folder runs/evidence
"""

from __future__ import annotations

from collections import Counter

import numpy as np
from ase import Atoms
from ase.neighborlist import neighbor_list
from shared import campaign_file, command_line

from entropy_flows.flows import CurveCampaigns
from entropy_flows.jobs.curve import near_equilibrium
from entropy_flows.launch.session import open_session
from entropy_flows.report.text import markdown_table

MAX_BOND = 1.85
"""Longest bond (Å) in a layer of graphite."""
MIN_SHARE = 0.9
"""Least share of atoms with three neighbours in a layered cell."""
FORCE_LIMITS = (2.0, 3.0)
"""eV/Å."""
HEADER = [
    "pool",
    "cells",
    "max F < 2 eV/Å",
    "< 3 eV/Å",
    "from graphite",
    "of them layered",
    "by pressure (GPa)",
]


def main() -> None:
    """Print the table of carbon's pools."""
    options = command_line(__doc__).parse_args()
    rows = [HEADER]
    with open_session(campaign_file("carbon"), options.folder / "carbon") as carbon:
        campaigns = CurveCampaigns.of(carbon.store, carbon.campaign)
        for pool, campaign in campaigns.pools.items():
            rows.append([pool, *pool_row(carbon.store.of(campaign).frames())])
    print(markdown_table(rows))


def pool_row(frames: list[Atoms]) -> list[str]:
    """Count the labelled cells of a pool."""
    graphite = [atoms for atoms in frames if atoms.info["phase"] == "graphite"]
    pressures = Counter(f"{atoms.info['pressure']:g}" for atoms in frames)
    counts = [
        len(frames),
        *(len(near_equilibrium(frames, limit)) for limit in FORCE_LIMITS),
        len(graphite),
        sum(map(is_layered, graphite)),
    ]
    by_pressure = ", ".join(f"{pressure}: {n}" for pressure, n in sorted(pressures.items()))
    return [*map(str, counts), by_pressure]


def is_layered(atoms: Atoms) -> bool:
    """Return whether nearly all atoms have three neighbours."""
    neighbours = np.bincount(neighbor_list("i", atoms, MAX_BOND), minlength=len(atoms))
    return bool(np.mean(neighbours == 3) > MIN_SHARE)


if __name__ == "__main__":
    main()
