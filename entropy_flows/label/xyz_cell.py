"""One frame of extended XYZ as a cell, with every key and column that is in it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, chemical_symbols

from entropy_flows.conventions import Array
from entropy_flows.label.xyz_text import (
    FrameError,
    as_float,
    floats,
    is_number,
    key_values,
    quoted,
    typed,
)
from entropy_flows.neighbors import check_thickness

_DEFAULT_COLUMNS = "species:S:1:pos:R:3"
_ISOTOPES = {"D": "H", "T": "H"}
_MOST_ATOMS = 10**9
_CUTOFF = 6.0
"""Å; that of fingerprints and models, beyond which a cell need not be searched."""


@dataclass(frozen=True, eq=False)
class ParsedFrame:
    """The cell of a frame, with all other keys and columns as text.

    Attributes
    ----------
    atoms
        Species, positions (Å), cell (Å) and which of its vectors repeat; nothing else.
    values
        Keys of the comment line with their texts.
    columns
        Texts (n_atoms, k) of the columns beside species and positions, by name.
    kinds
        R (real), I (integer), L (logical) or S (text) of each of these columns.
    notes
        What was read otherwise than it stands there.
    """

    atoms: Atoms
    values: dict[str, str]
    columns: dict[str, np.ndarray]
    kinds: dict[str, str]
    notes: tuple[str, ...]


def parse_frame(lines: Sequence[str]) -> ParsedFrame:
    """Build the cell of a frame's lines.

    Raises
    ------
    FrameError
        If the number of lines, the columns, a species, a position or the lattice is not what it
        should be.
    """
    size = _size(lines)
    _check_end(lines[2:])
    values = _unique(key_values(lines[1].strip()))
    properties = _take(values, "properties") or _DEFAULT_COLUMNS
    columns, kinds = _columns(properties, [line.split() for line in lines[2:]])
    numbers, notes = _species(columns)
    positions = floats(columns.pop("pos", None), "pos", (size, 3))
    lattice = _take(values, "lattice")
    cell = np.zeros((3, 3)) if lattice is None else _matrix(lattice)
    pbc = _periodic(_take(values, "pbc"), lattice is not None)
    atoms = Atoms(numbers, positions, cell=cell, pbc=pbc)
    try:
        check_thickness(atoms, _CUTOFF)
    except ValueError as err:
        raise FrameError(str(err)) from None
    return ParsedFrame(atoms, values, columns, kinds, notes)


def _size(lines: Sequence[str]) -> int:
    """Return the number of atoms, which is that of the lines after the comment."""
    text = lines[0].strip()
    if not re.fullmatch(r"[+-]?\d+", text):
        raise FrameError(f"expected a number of atoms, got {quoted(text)}")
    size = int(text) if len(text) < len(str(_MOST_ATOMS)) else _MOST_ATOMS
    if size < 1:
        raise FrameError(f"it says {text} atoms; at least 1 is needed")
    rows = max(len(lines) - 2, 0)
    if rows != size:
        raise FrameError(f"it says {text[:20]} atoms and has {rows} lines of them")
    return size


def _check_end(rows: Sequence[str]) -> None:
    """Refuse a last row that ends within a number.

    It has fewer decimals than all others, and no new line.
    """
    if rows[-1].endswith("\n") or len(rows) < 2:
        return
    decimals = [len((row.split() or [""])[-1].partition(".")[2]) for row in rows]
    usual = set(decimals[:-1])
    if len(usual) == 1 and decimals[-1] < min(usual):
        raise FrameError(f"the file ends within a number: {quoted(rows[-1][-20:])}")


def _unique(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Return keys with their values; a key that has two is refused."""
    values: dict[str, str] = {}
    for key, text in pairs:
        if values.get(key, text) != text:
            raise FrameError(f"{key} is there twice, as {quoted(values[key])} and {quoted(text)}")
        values[key] = text
    return values


def _take(values: dict[str, str], name: str) -> str | None:
    """Remove a key from the values, whatever its case, and return its text."""
    keys = [key for key in values if key.lower() == name]
    texts = {values.pop(key) for key in keys}
    if len(texts) > 1:
        raise FrameError(f"{' and '.join(keys)} are both there, and differ")
    return texts.pop() if texts else None


def _columns(
    properties: str, rows: list[list[str]]
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return columns (n_atoms, k) of text and their kinds, by name."""
    fields = properties.split(":")
    triples = list(zip(fields[::3], fields[1::3], fields[2::3], strict=False))
    widths = [int(width) if re.fullmatch(r"[1-9]\d{0,3}", width) else 0 for *_, width in triples]
    names = [name for name, *_ in triples]
    known_kinds = all(kind in ("R", "I", "S", "L") for _, kind, _ in triples)
    if len(fields) % 3 or not all(widths) or not known_kinds or len(set(names)) < len(names):
        raise FrameError(
            f"Properties is {quoted(properties)}; expected name:kind:columns, each name once, "
            f"such as {_DEFAULT_COLUMNS}"
        )
    for index, row in enumerate(rows):
        if len(row) != sum(widths):
            raise FrameError(f"atom {index} has {len(row)} columns; Properties has {sum(widths)}")
    table = np.array(rows, dtype=object)
    ends = np.cumsum(widths)
    columns = {
        name: table[:, end - width : end]
        for name, width, end in zip(names, widths, ends, strict=True)
    }
    return columns, {name: kind for name, kind, _ in triples}


def _species(columns: dict[str, np.ndarray]) -> tuple[list[int], tuple[str, ...]]:
    """Return atomic numbers, and which isotopes were read as their element."""
    column = columns.pop("species", None)
    number_column = columns.pop("Z", None)
    if column is not None:
        texts = list(column[:, 0])
    elif number_column is not None:
        texts = [
            chemical_symbols[int(text)] if _is_atomic_number(text) else text
            for text in number_column[:, 0]
        ]
    else:
        raise FrameError("there is no species column")
    for index, text in enumerate(texts):
        if atomic_numbers.get(_ISOTOPES.get(text, text), 0) == 0:
            raise FrameError(
                f"species of atom {index} is {quoted(text)}, which is no element's symbol"
            )
    isotopes = sorted(set(texts) & set(_ISOTOPES))
    notes = tuple(f"{symbol} is read as {_ISOTOPES[symbol]}" for symbol in isotopes)
    return [atomic_numbers[_ISOTOPES.get(text, text)] for text in texts], notes


def _is_atomic_number(text: str) -> bool:
    return text.isdecimal() and len(text) <= 3 and 0 < int(text) < len(chemical_symbols)


def _matrix(text: str) -> Array:
    """Return the lattice vectors (3, 3), one a row."""
    words = text.split()
    if len(words) != 9 or not all(map(is_number, words)):
        raise FrameError(f"Lattice is {quoted(text)}; expected 9 finite numbers")
    return np.array([as_float(word) for word in words]).reshape(3, 3)


def _periodic(text: str | None, has_lattice: bool) -> list[bool]:
    """Return which lattice vectors repeat: all of them if nothing is said."""
    if text is None:
        return [has_lattice] * 3
    logical = {"T": True, "TRUE": True, "1": True, "F": False, "FALSE": False, "0": False}
    words = [word.upper() for word in re.findall(r"[^\s,\[\]]+", text)]
    if len(words) != 3 or not all(word in logical for word in words):
        raise FrameError(f'pbc is {quoted(text)}; expected three of T and F, such as "T T T"')
    return [logical[word] for word in words]


def other_columns(
    columns: Mapping[str, np.ndarray], kinds: Mapping[str, str]
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return the columns that are no label.

    Returns
    -------
    tuple
        Arrays (n_atoms,) or (n_atoms, k) by name, and the names of columns whose texts are not of
        their kind.
    """
    arrays = {}
    unreadable = []
    for name, column in columns.items():
        array = _typed_column(column, kinds[name])
        if array is None:
            unreadable.append(name)
        else:
            arrays[name] = array[:, 0] if array.shape[1] == 1 else array
    return arrays, unreadable


def _typed_column(column: np.ndarray, kind: str) -> np.ndarray | None:
    """Return an array of a column's kind; None if a text is of another."""
    if kind == "S":
        return column.astype(str)
    if kind == "L":
        logical = np.array([[typed(text) for text in row] for row in column])
        return logical if logical.dtype == bool else None
    try:
        return column.astype(float if kind == "R" else int)
    except (ValueError, OverflowError):
        return None
