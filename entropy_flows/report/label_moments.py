"""Where the atoms' magnetic moments started and where the labels' calculations ended, for the report."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ase import Atoms

HEADER = [
    "phase",
    "element",
    "atoms",
    "start |m|, μB",
    "end |m|, μB",
    "least",
    "most",
    "turned over",
]
NOTE = (
    "An atom turned over if its moment changed its sign and is larger than 0.3 μB: the label may be of another "
    "magnetic order than its phase. Moments of atoms are within spheres."
)
SMALL = 0.3
"""μ_B, below which a sign says nothing."""


def moment_rows(frames: Iterable[Atoms]) -> list[list[str]]:
    """Mean initial and final moments by phase and element.

    Parameters
    ----------
    frames
        Labelled cells, as `CampaignStore.frames` has them; those without final moments are passed
        over.

    Returns
    -------
    list
        A row for each phase and element, none if no label has moments.
    """
    groups: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for atoms in frames:
        results = atoms.calc.results if atoms.calc is not None else {}
        if "magmoms" not in results:
            continue
        phase = str(atoms.info.get("phase", "–"))
        pairs = zip(atoms.get_initial_magnetic_moments(), results["magmoms"], strict=True)
        for symbol, pair in zip(atoms.get_chemical_symbols(), pairs, strict=True):
            groups[phase, symbol].append(pair)
    return [_row(*key, np.array(pairs)) for key, pairs in sorted(groups.items())]


def _row(phase: str, symbol: str, pairs: np.ndarray) -> list[str]:
    start, end = np.abs(pairs).T
    turned = (pairs.prod(axis=1) < 0) & (end > SMALL)
    means = [start.mean(), end.mean(), end.min(), end.max()]
    return [
        phase,
        symbol,
        str(len(pairs)),
        *(f"{value:.2f}" for value in means),
        str(int(turned.sum())),
    ]
