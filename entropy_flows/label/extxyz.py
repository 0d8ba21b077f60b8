"""Cells of extended XYZ files with what labels they have, for every command that reads such files.

A frame is a cell, or the reason why it cannot be used: one bad frame costs no other. What labels
may be called, and in which units they may be, is in `label_keys`; stresses that no cell can have
are refused by `stress_limit`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from entropy_flows.conventions import GPA, pressure, to_matrix, to_voigt
from entropy_flows.digest import file_sha256
from entropy_flows.geometry import periodicity_defect, to_structure
from entropy_flows.label.frame import ImportedFrame
from entropy_flows.label.label_keys import read_label_keys
from entropy_flows.label.read import read_label
from entropy_flows.label.stress_limit import stress_defect
from entropy_flows.label.task_moments import take_moments
from entropy_flows.label.xyz_cell import other_columns, parse_frame
from entropy_flows.label.xyz_text import FrameError, quoted, raw_frames, typed
from entropy_flows.moments import collinear

SPLITS = ("train", "val", "test")
_NOT_CARRIED = ("numbers", "positions", "move_mask")
"""Columns whose names mean something else to ASE."""


@dataclass(frozen=True, eq=False)
class XYZFrame:
    """A frame of an extended XYZ file.

    Attributes
    ----------
    source
        File and index, for people: "known.extxyz[12]".
    index
        Its number in the file, from 0.
    atoms
        The cell; a calculator has its energy, free_energy (eV), forces (eV/Å) and stress (eV/Å³),
        what there is of them; `info` and `arrays` have the other keys and columns. None if the
        frame cannot be used.
    defect
        Why it cannot be used.
    notes
        What was read under a name that is not the usual one, or not at all.
    """

    source: str
    index: int
    atoms: Atoms | None = None
    defect: str | None = None
    notes: tuple[str, ...] = ()


def read_frames(path: Path) -> Iterator[XYZFrame]:
    """Read the frames of an extended XYZ file, labelled or not.

    Parameters
    ----------
    path
        Extended XYZ, as it is or compressed by gzip, bzip2 or xz.

    Raises
    ------
    ValueError
        If it is no such file, or empty.
    """
    for index, lines in enumerate(raw_frames(path)):
        source = f"{path.name}[{index}]"
        try:
            if isinstance(lines, FrameError):
                raise lines
            atoms, notes = labelled_cell(lines)
        except FrameError as err:
            yield XYZFrame(source, index, defect=str(err))
        else:
            yield XYZFrame(source, index, atoms, notes=notes)


def labelled_cell(lines: list[str]) -> tuple[Atoms, tuple[str, ...]]:
    """Return a frame's cell with its label, and notes on how it was read.

    Raises
    ------
    FrameError
        If it cannot be used.
    """
    frame = parse_frame(lines)
    atoms = frame.atoms
    volume = float(atoms.get_volume()) if atoms.cell.rank == 3 else 0.0
    label = read_label_keys(frame.values, frame.columns, volume)
    other_names = {name: column for name, column in frame.columns.items() if name not in label.keys}
    arrays, unreadable = other_columns(other_names, frame.kinds)
    unread = [name for name in _NOT_CARRIED if arrays.pop(name, None) is not None]
    info = {key: typed(text) for key, text in frame.values.items() if key not in label.keys}
    results = dict(label.results)
    results |= take_moments(arrays, info)
    if "stress" in results:
        if atoms.pbc.all() and (defect := stress_defect(to_structure(atoms), results["stress"])):
            raise FrameError(defect)
        results["stress"] = to_voigt(results["stress"])
    atoms.info.update(info)
    for name, array in arrays.items():
        atoms.set_array(name, array)
    if results:
        atoms.calc = SinglePointCalculator(atoms, **results)
    lost = [f"column {name} is not read" for name in (*unread, *unreadable)]
    return atoms, (*frame.notes, *label.notes, *lost)


@dataclass(frozen=True, eq=False)
class CellFile:
    """The cells of an extended XYZ file.

    Attributes
    ----------
    cells
        Those that can be used, as `XYZFrame.atoms`.
    left_out
        A line for each of the others: file, index and reason.
    notes
        What was read under another name than the usual one, or not at all, and of how many frames.
    """

    cells: list[Atoms]
    left_out: list[str]
    notes: list[str]


def read_cells(path: Path, required: tuple[str, ...] = ()) -> CellFile:
    """Read the cells of an extended XYZ file that have the quantities asked for.

    Parameters
    ----------
    path
        The file.
    required
        "energy" (or a free energy), "forces", "periodic" (in three directions).

    Raises
    ------
    ValueError
        If it is no such file, or has no frame that can be used.
    """
    cells = []
    left_out = []
    notes: Counter[str] = Counter()
    for frame in read_frames(path):
        defect = frame.defect if frame.atoms is None else missing_quantity(frame.atoms, required)
        if frame.atoms is None or defect:
            left_out.append(f"{frame.source}: {defect}")
        else:
            cells.append(frame.atoms)
            notes.update(frame.notes)
    if not cells:
        raise ValueError(f"{path}: none of {len(left_out)} frames can be used; {left_out[0]}")
    return CellFile(cells, left_out, note_lines(notes))


def note_lines(notes: Mapping[str, int]) -> list[str]:
    """Return a line for each note on a file's frames, with their number."""
    return [f"{note} ({count} frames)" for note, count in notes.items()]


def missing_quantity(atoms: Atoms, required: tuple[str, ...]) -> str | None:
    """Return which required quantity a cell lacks, and what it has instead; None if it has all."""
    results = {} if atoms.calc is None else atoms.calc.results
    present = set(results) | ({"energy"} if "free_energy" in results else set())
    for name in required:
        if name == "periodic" and (defect := periodicity_defect(atoms)):
            return defect
        if name != "periodic" and name not in present:
            present_names = sorted(
                {*results, *atoms.info, *atoms.arrays} - {"numbers", "positions"}
            )
            return (
                f"no {name}; beside the cell it has {', '.join(present_names) or 'nothing'}; "
                f"expected {name}, REF_{name} or another name of docs/labels.md"
            )
    return None


def read_extxyz(path: Path) -> Iterator[ImportedFrame]:
    """Read the frames of an extended XYZ file as labelled, periodic cells.

    Raises
    ------
    ValueError
        If it is no such file, or empty.
    """
    digest = file_sha256(path)
    for frame in read_frames(path):
        source = {"file": path.name, "sha256": digest, "index": frame.index}
        existing = ImportedFrame(frame.source, source, settings={"file": digest}, notes=frame.notes)
        if frame.atoms is None:
            yield replace(existing, defect=frame.defect)
            continue
        try:
            yield _with_label(existing, frame.atoms)
        except ValueError as err:  # also of a structure whose moments are not collinear
            yield replace(existing, defect=str(err))


def _with_label(existing: ImportedFrame, atoms: Atoms) -> ImportedFrame:
    """Return the frame with its structure, label and split."""
    if defect := missing_quantity(atoms, ("energy", "forces", "periodic")):
        raise FrameError(defect)
    results = atoms.calc.results
    energy = results.get("energy", results.get("free_energy"))
    label = read_label({"output": {"energy": energy, "forces": results["forces"]}})
    if not label.converged:
        raise FrameError(str(label.evidence))
    stress = to_matrix(results["stress"]) if "stress" in results else None
    texts = {name: value for name, value in atoms.info.items() if isinstance(value, str)}
    label = replace(
        label,
        free_energy=float(results.get("free_energy", energy)),
        stress=stress,
        pressure=None if stress is None else pressure(stress) * GPA,
        magmoms=collinear(results["magmoms"]) if "magmoms" in results else None,
        total_magmom=results.get("magmom"),
        provenance={"info": texts} if texts else {},
    )
    return replace(
        existing, structure=to_structure(atoms), label=label, split=_split(atoms.info.get("split"))
    )


def _split(value: Any) -> str | None:
    """Return the split that a cell comes with.

    Raises
    ------
    FrameError
        If it is none of train, val and test.
    """
    if value is None or (isinstance(value, str) and value in SPLITS):
        return value
    raise FrameError(f"split is {quoted(str(value))}; expected train, val or test")
