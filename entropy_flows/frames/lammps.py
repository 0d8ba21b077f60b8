"""Frames of LAMMPS text dumps, which name elements only if they were asked to."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from ase import Atoms
from ase.io.lammpsrun import read_lammps_dump_text

from entropy_flows.label.compressed import open_binary

_START = "ITEM: TIMESTEP"
_COLUMNS = "ITEM: ATOMS"
_TELLING = {"element", "mass"}
"""Columns that name the element of an atom."""


def cut_dump(path: Path) -> Iterator[list[str]]:
    """Yield the lines of each snapshot."""
    lines: list[str] = []
    with open_binary(path) as stream:
        for line in io.TextIOWrapper(stream, encoding="utf-8", errors="replace"):
            if line.startswith(_START) and lines:
                yield lines
                lines = []
            lines.append(line)
    yield lines


def build_cell(lines: Sequence[str], species: Sequence[str] | None = None) -> Atoms:
    """Build the cell of a snapshot.

    Parameters
    ----------
    lines
        The snapshot's lines.
    species
        Elements of the types 1, 2, …; None if the dump names elements or masses.

    Returns
    -------
    Atoms
        In units of `metal`. Forces of a dump come without their energy, so they are no label and
        are left out.

    Raises
    ------
    ValueError
        If an element cannot be told.
    """
    header = next((line for line in lines if line.startswith(_COLUMNS)), "")
    columns = header.split()[2:]
    if not _TELLING & set(columns):
        _check_types(lines, columns, species)
    atoms = read_lammps_dump_text(io.StringIO("".join(lines)), index=0, specorder=species)
    atoms.calc = None
    return atoms


def _check_types(
    lines: Sequence[str], columns: Sequence[str], species: Sequence[str] | None
) -> None:
    """Raise a ValueError if the types of the atoms are not those of known elements."""
    if "type" not in columns:
        raise ValueError(f"its columns are {' '.join(columns) or 'none'}; expected element or type")
    start = next(index for index, line in enumerate(lines) if line.startswith(_COLUMNS)) + 1
    column = columns.index("type")
    types = sorted({int(line.split()[column]) for line in lines[start:] if line.strip()})
    if species is None:
        names = ", ".join(map(str, types))
        raise ValueError(f"atoms have types {names} and no element; name them by --types Si,O")
    if types and not 1 <= types[0] <= types[-1] <= len(species):
        raise ValueError(f"there is a type {types[-1]}; --types names {len(species)} of them")
