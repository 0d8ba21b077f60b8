"""Collinear magnetic moments of atoms: one number (μ_B) an atom, along one axis for the whole cell.

    initial   where a spin-polarised calculation starts: a property of the cell
    final     what it ends with: a property of the label

pymatgen keeps initial moments as the site property `magmom`, ASE as
`Atoms.get_initial_magnetic_moments()`. A cell has a moment for each of its atoms, or none at all.
Without spin-orbit coupling the axis itself has no meaning.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from entropy_flows.conventions import Array

if TYPE_CHECKING:
    from pymatgen.core import Structure

SITE_PROPERTY = "magmom"
"""Name of pymatgen's site property."""
_SAME_AXIS = 1e-3
"""Largest component (μ_B) off the common axis, printed digits of magCIF being few."""


def collinear(values: Iterable[Any]) -> Array:
    """Return moments along their common axis.

    Parameters
    ----------
    values
        One for each atom: a number, a vector of three, pymatgen's Magmom, or None for no moment.

    Returns
    -------
    ndarray
        (n,) in μ_B. Of vectors, those along the positive direction of the axis' largest component
        are positive.

    Raises
    ------
    ValueError
        If a value is none of these, is not finite, or if two vectors have different axes.
    """
    rows = [_as_row(value, index) for index, value in enumerate(values)]
    if all(row.size == 1 for row in rows):
        return np.array([float(row[0]) for row in rows]) + 0.0  # no -0.0
    vectors = np.array(
        [row if row.size == 3 else _along_nothing(row, index) for index, row in enumerate(rows)]
    )
    longest = vectors[int(np.argmax(np.linalg.norm(vectors, axis=1)))]
    if not longest.any():
        return np.zeros(len(vectors))
    axis = longest / np.linalg.norm(longest)
    axis *= np.sign(axis[int(np.argmax(np.abs(axis)))])
    along = vectors @ axis
    off = np.linalg.norm(vectors - along[:, None] * axis, axis=1)
    if off.max() > _SAME_AXIS:
        worst = int(np.argmax(off))
        raise ValueError(
            f"magnetic moments are not collinear: atom {worst} has {vectors[worst].tolist()} μ_B, "
            f"which is not along {np.round(axis, 3).tolist()}; only collinear moments are carried"
        )
    return along + 0.0


def _as_row(value: Any, index: int) -> Array:
    """Return one atom's moment as an array of one or three numbers."""
    given = 0.0 if value is None else getattr(value, "global_moment", value)
    try:
        row = np.atleast_1d(np.asarray(given, dtype=float))
    except (TypeError, ValueError):
        row = np.full(2, np.nan)
    if row.shape not in ((1,), (3,)) or not np.isfinite(row).all():
        raise ValueError(f"magnetic moment of atom {index} is {value!r}; expected a number of μ_B")
    return row


def _along_nothing(row: Array, index: int) -> Array:
    """Return the zero vector for an atom without a moment among atoms with vectors."""
    if row[0] != 0:
        raise ValueError(
            f"magnetic moment of atom {index} is the number {row[0]:g}, those of others are vectors"
        )
    return np.zeros(3)


def moments_of(structure: Structure) -> Array | None:
    """Return the initial moments (n,) of a cell in μ_B; None if it has none.

    Atoms without one, in a cell where others have one, have 0.
    """
    values = [site.properties.get(SITE_PROPERTY) for site in structure]
    return None if all(value is None for value in values) else collinear(values)


def set_moments(structure: Structure, moments: Array | None) -> None:
    """Give a cell its initial moments (n,) in μ_B, in place; None takes them away."""
    if moments is not None:
        structure.add_site_property(SITE_PROPERTY, np.asarray(moments, dtype=float).tolist())
    elif any(SITE_PROPERTY in site.properties for site in structure):
        structure.remove_site_property(SITE_PROPERTY)


def species_of(structure: Structure) -> list[str]:
    """Return element and oxidation state of each atom, such as "Fe2+", or the element alone."""
    from pymatgen.core import Species

    names = []
    for site in structure:
        state = getattr(site.specie, "oxi_state", None)
        names.append(
            site.specie.symbol if state is None else str(Species(site.specie.symbol, state))
        )
    return names


def moments_by_species(structure: Structure, table: Mapping[str, float], other: float) -> Array:
    """Look up moments (n,) by oxidation state ("Fe2+"), else by element, else `other`, in μ_B."""
    symbols = [site.specie.symbol for site in structure]
    names = zip(species_of(structure), symbols, strict=True)
    return np.array([float(table.get(name, table.get(symbol, other))) for name, symbol in names])


def summary(structure: Structure) -> str:
    """Describe moments in a few words, such as "Ni 2×+2 2×-2, O 4×0"; "" for a cell without."""
    moments = moments_of(structure)
    if moments is None:
        return ""
    symbols = [site.specie.symbol for site in structure]
    counts = Counter(zip(symbols, np.round(moments, 2) + 0.0, strict=True))
    by_element: dict[str, list[str]] = {}
    for symbol, moment in sorted(counts, key=lambda pair: (pair[0], -pair[1])):
        value = f"{moment:+.3g}" if moment else "0"
        by_element.setdefault(symbol, []).append(f"{counts[symbol, moment]}×{value}")
    return ", ".join(f"{symbol} {' '.join(words)}" for symbol, words in by_element.items())
