"""Magnetic moments of a seed's file, and what the file says that a campaign does not carry."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from pymatgen.core import Structure

from entropy_flows.conventions import Array
from entropy_flows.moments import (
    SITE_PROPERTY,
    collinear,
    moments_by_species,
    set_moments,
    species_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

DEFAULT_MOMENT = 0.6
"""μ_B of an element that an engine's table does not name: pymatgen's."""
_ROUNDING = 1e-2
"""Charge (e) that printed oxidation states may add up to."""


def file_moments(structure: Structure) -> Array | None:
    """Read moments (n,) in μ_B of a file's sites (`magmom`) or species (`spin`), if it has any.

    Raises
    ------
    ValueError
        If they are not collinear or not finite.
    """
    on_sites = [site.properties.get(SITE_PROPERTY) for site in structure]
    on_species = [getattr(site.specie, "spin", None) for site in structure]
    for values in (on_sites, on_species):
        if any(value is not None for value in values):
            return collinear(values)
    return None


def given_moments(
    magmoms: Mapping[str, float] | Sequence[float], structure: Structure
) -> Array | None:
    """Return the moments (n,) in μ_B that a phase gives by species, or atom by atom.

    Returns
    -------
    ndarray or None
        None if the number of moments is not that of the atoms.

    Raises
    ------
    ValueError
        If a species is not in the cell.
    """
    if not isinstance(magmoms, Mapping):
        return np.array(magmoms, dtype=float) if len(magmoms) == len(structure) else None
    present = {*species_of(structure), *(site.specie.symbol for site in structure)}
    absent = sorted(set(magmoms) - present)
    if absent:
        raise ValueError(
            f"magmoms names {', '.join(absent)}, the cell has {', '.join(sorted(present))}"
        )
    return moments_by_species(structure, magmoms, other=0.0)


def states_without_atoms(structure: Structure, table: Mapping[str, float]) -> list[str]:
    """Name the elements whose moments a table has only for oxidation states that no atom has."""
    notes = []
    for symbol in sorted({site.specie.symbol for site in structure}):
        names = {
            name for name in species_of(structure) if re.fullmatch(rf"{symbol}([\d.]*[+-])?", name)
        }
        states = [key for key in table if re.fullmatch(rf"{symbol}[\d.]*[+-]", key)]
        if states and symbol not in table and names - set(states):
            notes.append(
                f"the engine's MAGMOM has {', '.join(states)}, the file has "
                f"{', '.join(sorted(names))}: these atoms start with {DEFAULT_MOMENT:g} μ_B; "
                f"give oxidation states in the file, or `magmoms`"
            )
    return notes


def bare(structure: Structure, moments: Array | None) -> Structure:
    """Return species, positions and cell with these moments, and nothing else of the file."""
    species = species_of(structure)
    cell = Structure(structure.lattice, species, structure.frac_coords)
    set_moments(cell, moments)
    return cell


def not_carried(structure: Structure) -> list[str]:
    """Say what snapshots and labels will not have of a file, one sentence each.

    Raises
    ------
    ValueError
        If the cell is charged: labels are of neutral cells.
    """
    charge = structure.charge
    from_states = sum(getattr(site.specie, "oxi_state", None) or 0 for site in structure)
    if min(abs(charge), abs(charge - from_states)) > _ROUNDING:
        raise ValueError(
            f"the cell has a charge of {charge:+g}; labels are of neutral cells, so set it to 0"
        )
    properties: dict[str, list[Any]] = {}
    for site in structure:
        for name, value in site.properties.items():
            properties.setdefault(name, []).append(value)
    notes = []
    if abs(charge) > _ROUNDING:
        notes.append(
            f"its oxidation states add up to {from_states:+g}; labels are of neutral cells"
        )
    dynamics = properties.get("selective_dynamics", [])
    if any(not np.all(flags) for flags in dynamics if flags is not None):
        notes.append("its selective dynamics are not carried: all atoms move")
    if any(np.any(charge) for charge in properties.get("charge", []) if charge is not None):
        notes.append("the charges of its sites are not carried")
    states: dict[str, set[str]] = {}
    for site, name in zip(structure, species_of(structure), strict=True):
        states.setdefault(site.specie.symbol, set()).add(name)
    notes += [
        f"{' and '.join(sorted(names))} are one species, {symbol}, to models and label engines; "
        f"only moments tell them apart"
        for symbol, names in states.items()
        if len(names) > 1
    ]
    return notes
