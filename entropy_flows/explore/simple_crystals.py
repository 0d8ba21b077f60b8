"""Common crystals of one element or of two, at a guess of their density."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from ase import Atoms
from ase.build import bulk
from ase.data import atomic_numbers, covalent_radii

ELEMENTARY = {"sc": 1.0, "bcc": 1.03, "fcc": 1.05, "hcp": 1.05, "diamond": 1.0}
"""Crystal of one element → nearest distance to begin with, in the sum of covalent radii."""
BINARY = {"zincblende": 1.0, "rocksalt": 1.06, "cesiumchloride": 1.12}
"""Crystal of two elements → the same."""


def simple_crystals(elements: Sequence[str]) -> dict[str, Atoms]:
    """Return common crystals, of one element alone or of each pair of several.

    Their volumes are guesses from covalent radii, which an equation of state is to correct.

    Parameters
    ----------
    elements
        Chemical symbols.

    Returns
    -------
    dict
        Name → cell of 2 to 8 atoms.
    """
    if len(elements) == 1:
        return {f"{kind} {elements[0]}": _elementary(elements[0], kind) for kind in ELEMENTARY}
    return {
        f"{kind} {first}{second}": _binary(first, second, kind)
        for first, second in combinations(elements, 2)
        for kind in BINARY
    }


def _elementary(symbol: str, kind: str) -> Atoms:
    """Build a crystal of one element, at its guess of the nearest distance."""
    nearest = ELEMENTARY[kind] * 2 * covalent_radii[atomic_numbers[symbol]]
    # Nearest distance of each crystal with a = 1 (for hcp with the ideal c/a).
    unit = {"sc": 1.0, "bcc": 3**0.5 / 2, "fcc": 0.5**0.5, "hcp": 1.0, "diamond": 3**0.5 / 4}
    a = nearest / unit[kind]
    if kind == "hcp":
        return bulk(symbol, "hcp", a=a, c=a * (8 / 3) ** 0.5) * (2, 2, 1)
    cell = bulk(symbol, kind, a=a, cubic=True)
    return cell * {"sc": (2, 2, 2), "bcc": (2, 1, 1)}.get(kind, (1, 1, 1))


def _binary(first: str, second: str, kind: str) -> Atoms:
    """Build a crystal of two elements, at its guess of the nearest distance."""
    nearest = BINARY[kind] * covalent_radii[[atomic_numbers[first], atomic_numbers[second]]].sum()
    unit = {"zincblende": 3**0.5 / 4, "rocksalt": 0.5, "cesiumchloride": 3**0.5 / 2}
    a = nearest / unit[kind]
    if kind == "cesiumchloride":
        return bulk(first + second, kind, a=a) * (2, 2, 1)
    return bulk(first + second, kind, a=a, cubic=True)
