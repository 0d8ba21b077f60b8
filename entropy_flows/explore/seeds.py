"""Build seed cells: a phase's file or space group made a supercell, with its magnetic moments.

Moments come, the first that there is, from the phase's `magmoms`, from the file's sites or species,
or from the label engine's table. What else a file says is not carried: a note says so, or it is
refused where it would decide the labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pymatgen.core import Lattice, Structure

from entropy_flows.conventions import Array
from entropy_flows.explore.phases import Phase
from entropy_flows.explore.seed_files import read_structure
from entropy_flows.explore.seed_moments import (
    DEFAULT_MOMENT,
    bare,
    file_moments,
    given_moments,
    not_carried,
    states_without_atoms,
)
from entropy_flows.moments import SITE_PROPERTY, moments_by_species, moments_of, set_moments

if TYPE_CHECKING:
    from pymatgen.symmetry.groups import SpaceGroup


@dataclass(frozen=True)
class Seed:
    """The supercell of a phase, with notes on its source.

    Attributes
    ----------
    cell
        The supercell, with initial magnetic moments if there are any.
    notes
        Sentences on what the file says that is not carried.
    moments_of_table
        True if the moments are the label engine's, as the phase has none of its own.
    """

    cell: Structure
    notes: tuple[str, ...]
    moments_of_table: bool


def seed_cell(
    phase: Phase, folder: Path | str = ".", table: Mapping[str, float] | None = None
) -> Structure:
    """Build a phase's supercell; arguments and errors as of `build_seed`."""
    return build_seed(phase, folder, table).cell


def build_seed(
    phase: Phase, folder: Path | str = ".", table: Mapping[str, float] | None = None
) -> Seed:
    """Build a phase's supercell.

    Parameters
    ----------
    phase
        Description of the crystal.
    folder
        Folder from which the path of its file starts.
    table
        The label engine's initial moments (μ_B) by oxidation state or element, for a phase that has
        none of its own; what it does not name has 0.6. None for an engine without spin.

    Raises
    ------
    ValueError
        If the file cannot be read, the cell has more than `max_atoms` atoms or a charge, or the
        moments are not collinear, or not as many as atoms.
    """
    source = _from_file(phase, Path(folder)) if phase.file is not None else _from_spacegroup(phase)
    try:
        notes = not_carried(source)
        structure = bare(source, _moments_of_source(phase, source))
        if phase.primitive:
            structure = structure.get_primitive_structure(use_site_props=True)
        _refuse_large(phase, len(structure))
        structure = structure.make_supercell(phase.supercell, in_place=False)
        if isinstance(phase.magmoms, tuple) and moments_of(structure) is None:
            _set_in_supercell(phase.magmoms, source, structure)
        by_table = table is not None and moments_of(structure) is None
        if by_table:
            set_moments(structure, moments_by_species(structure, table or {}, DEFAULT_MOMENT))
            notes += states_without_atoms(structure, table or {})
    except ValueError as err:
        raise ValueError(f"phase {phase.name!r}: {err}") from err
    structure.remove_oxidation_states()
    return Seed(structure, tuple(notes), by_table)


def _refuse_large(phase: Phase, atoms: int) -> None:
    """Refuse a supercell with too many atoms before it is built."""
    repeated = np.array(phase.supercell, dtype=float)
    volume = repeated.prod() if repeated.ndim == 1 else abs(np.linalg.det(repeated))
    copies = round(float(volume))
    if atoms * copies > phase.max_atoms:
        raise ValueError(f"{atoms * copies} atoms, more than max_atoms = {phase.max_atoms}")


def _from_file(phase: Phase, folder: Path) -> Structure:
    """Read the cell of a phase's file, with all that the file says of it."""
    try:
        return read_structure(folder / str(phase.file))
    except ValueError as err:
        raise ValueError(f"phase {phase.name!r}: {err}") from None


def _from_spacegroup(phase: Phase) -> Structure:
    """Build the conventional cell of a space group; with moments, if each of `sites` has one."""
    cell = phase.lattice
    spacegroup = phase.spacegroup
    assert cell is not None, "the validator sees to it"
    assert spacegroup is not None
    lattice = Lattice.from_parameters(
        cell.a, cell.b or cell.a, cell.c or cell.a, cell.alpha, cell.beta, cell.gamma
    )
    species = [element for element, coords in (phase.sites or {}).items() for _ in coords]
    coords = [xyz for coords in (phase.sites or {}).values() for xyz in coords]
    properties: dict[str, Sequence[Any]] = {}
    if isinstance(phase.magmoms, tuple) and len(phase.magmoms) == len(species):
        properties[SITE_PROPERTY] = phase.magmoms
    try:
        _kept_group(spacegroup)
        return Structure.from_spacegroup(
            spacegroup, lattice, species, coords, site_properties=properties
        )
    except ValueError as err:
        raise ValueError(f"phase {phase.name!r}: {err}") from err


@cache
def _kept_group(spacegroup: int | str) -> SpaceGroup:
    """Return a space group that stays in memory.

    pymatgen makes it anew, in up to a second, wherever nobody has kept it.
    """
    from pymatgen.symmetry.groups import SpaceGroup

    try:
        return SpaceGroup.from_int_number(int(spacegroup))
    except ValueError:
        return SpaceGroup(str(spacegroup))


def _moments_of_source(phase: Phase, source: Structure) -> Array | None:
    """Return the moments of the repeated cell, unless they are given for the supercell."""
    repeated_by_symmetry = phase.file is None and file_moments(source) is not None
    if phase.magmoms is None or repeated_by_symmetry:
        return file_moments(source)
    return given_moments(phase.magmoms, source)


def _set_in_supercell(magmoms: tuple[float, ...], source: Structure, structure: Structure) -> None:
    """Give the supercell's atoms the moments that were listed for them."""
    if len(magmoms) != len(structure):
        raise ValueError(
            f"{len(magmoms)} magmoms; expected one for each of {len(source)} atoms, or of the "
            f"{len(structure)} of the supercell"
        )
    set_moments(structure, np.array(magmoms))
