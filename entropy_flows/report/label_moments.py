"""Initial and final magnetic moments of the atoms in the labels' calculations."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ase import Atoms

MOMENT_HEADER = [
    "phase",
    "element",
    "atoms",
    "start |m|, μB",
    "end |m|, μB",
    "least",
    "most",
    "turned over",
]
MOMENT_NOTE = (
    "An atom turned over if its moment changed its sign and is larger than 0.3 μB: the label may "
    "be of another magnetic order than its phase. Moments of atoms are within spheres."
)
LEAST_MOMENT = 0.3
"""Moment (μ_B) below which a sign is noise."""


def moment_rows(frames: Iterable[Atoms]) -> list[list[str]]:
    """Average initial and final moments by phase and element.

    Parameters
    ----------
    frames
        Labelled cells, as `CampaignStore.frames` returns them. Those without final moments are
        passed over.

    Returns
    -------
    list
        A row for each phase and element; no rows if no label has moments.
    """
    moments: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for atoms in frames:
        results = atoms.calc.results if atoms.calc is not None else {}
        if "magmoms" not in results:
            continue
        phase = str(atoms.info.get("phase", "–"))
        pairs = zip(atoms.get_initial_magnetic_moments(), results["magmoms"], strict=True)
        for symbol, pair in zip(atoms.get_chemical_symbols(), pairs, strict=True):
            moments[phase, symbol].append(pair)
    return [
        _row(phase, symbol, np.array(pairs)) for (phase, symbol), pairs in sorted(moments.items())
    ]


def _row(phase: str, symbol: str, pairs: np.ndarray) -> list[str]:
    """Write one row; `pairs` (n, 2) holds initial and final moments."""
    start, end = np.abs(pairs).T
    has_turned = (pairs.prod(axis=1) < 0) & (end > LEAST_MOMENT)
    statistics = [start.mean(), end.mean(), end.min(), end.max()]
    columns = [f"{value:.2f}" for value in statistics]
    return [phase, symbol, str(len(pairs)), *columns, str(int(has_turned.sum()))]
