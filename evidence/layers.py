"""How many cells that began as graphite still have their layers, and how many cells have small forces, by pool.

Example: python evidence/layers.py --folder runs/evidence
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.neighborlist import neighbor_list
from make import HERE, markdown

from entropy_flows.cli.curve import CurveCampaigns
from entropy_flows.jobs.curve import near_equilibrium
from entropy_flows.launch.session import session

BOND, SHARE = 1.85, 0.9
"""Longest bond, Å; atoms with three neighbours in a layered cell, at least."""


def layered(atoms: Atoms) -> bool:
    """Whether nearly all atoms have three neighbours."""
    neighbours = np.bincount(neighbor_list("i", atoms, BOND), minlength=len(atoms))
    return bool(np.mean(neighbours == 3) > SHARE)


def main() -> None:
    """Print the table of carbon's pools."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], epilog=__doc__.splitlines()[-1]
    )
    parser.add_argument(
        "--folder", type=Path, default=Path("runs/evidence"), help="default: %(default)s"
    )
    args = parser.parse_args()
    rows = [
        [
            "pool",
            "cells",
            "max F < 2 eV/Å",
            "< 3 eV/Å",
            "from graphite",
            "of them layered",
            "by pressure (GPa)",
        ]
    ]
    with session(HERE / "carbon.yaml", args.folder / "carbon") as opened:
        for name, campaign in CurveCampaigns.of(opened).pools.items():
            frames = opened.store.of(campaign).frames()
            graphite = [atoms for atoms in frames if atoms.info["phase"] == "graphite"]
            pressures = Counter(f"{atoms.info['pressure']:g}" for atoms in frames)
            counts = [
                len(frames),
                *(len(near_equilibrium(frames, limit)) for limit in (2.0, 3.0)),
                len(graphite),
            ]
            told = ", ".join(f"{pressure}: {n}" for pressure, n in sorted(pressures.items()))
            rows.append([name, *map(str, [*counts, sum(map(layered, graphite))]), told])
    print(markdown(rows))


if __name__ == "__main__":
    main()
