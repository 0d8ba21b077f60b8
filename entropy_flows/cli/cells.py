"""Read the cells of a file or of a campaign, labelled or not, for `diversity` and `export`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from entropy_flows.label.compressed import ENDINGS as COMPRESSED
from entropy_flows.launch.session import Session, open_stored

if TYPE_CHECKING:
    from ase import Atoms

ENDINGS = (*COMPRESSED, ".extxyz", ".xyz", ".yaml", ".yml")
MAX_FRAME_LINES = 20
"""Left-out frames that have a line of their own."""


def is_campaign(path: Path) -> bool:
    """Return True if a file's ending is that of a campaign file."""
    return path.suffix in (".yaml", ".yml")


def set_names(paths: Sequence[Path]) -> list[str]:
    """Name each source after its file, without endings.

    Two whose names would be the same have their whole paths.

    Raises
    ------
    ValueError
        If a path is given twice.
    """
    if len({path.resolve() for path in paths}) < len(paths):
        raise ValueError(f"{', '.join(map(str, paths))}: one is named twice")
    short = [_stem(path.name) for path in paths]
    return [
        name if short.count(name) == 1 else str(path)
        for name, path in zip(short, paths, strict=True)
    ]


def _stem(name: str) -> str:
    for ending in ENDINGS:
        name = name.removesuffix(ending)
    return name


def cells_of(path: Path) -> list[Atoms]:
    """Read all cells of a file, or of a campaign's data set.

    The file is extended XYZ, or any other that ASE reads. What is left out of an extended XYZ file,
    and what is read there under another name than the usual one, is printed.

    Raises
    ------
    ValueError
        If the file is not there, not readable, or has no cells that can be used.
    """
    from entropy_flows.label.extxyz import read_cells

    if is_campaign(path):
        with open_stored(path, None) as session:
            return campaign_cells(session)
    if not path.is_file():
        raise ValueError(f"{path} does not exist; expected an extended XYZ file or a campaign file")
    if not _is_xyz(path):
        return _read_other_format(path)
    file = read_cells(path)
    show_reading(path, file.left_out, file.notes)
    return file.cells


def show_reading(path: Path, left_out: Sequence[str], notes: Sequence[str]) -> None:
    """Print, on the error stream, a line for each left-out frame and for each note."""
    for line in left_out[:MAX_FRAME_LINES]:
        print(f"left out: {line}", file=sys.stderr)
    more = len(left_out) - MAX_FRAME_LINES
    if more > 0:
        print(f"left out: {more} more frames of {path.name}", file=sys.stderr)
    for note in notes:
        print(f"{path.name}: {note}", file=sys.stderr)


def _is_xyz(path: Path) -> bool:
    """Return True for extended XYZ, by the ending of the name before that of a compression."""
    name = path.name.lower()
    for ending in COMPRESSED:
        name = name.removesuffix(ending)
    return name.endswith((".extxyz", ".xyz"))


def _read_other_format(path: Path) -> list[Atoms]:
    """Read the cells of a file of any other format; those that cannot be used are printed."""
    from entropy_flows.frames import read_frames

    cells = []
    left_out = []
    for frame in read_frames(path, with_labels=True, periodic=False):
        if frame.atoms is None:
            left_out.append(f"{frame.location}: {frame.defect}")
        else:
            cells.append(frame.atoms)
    show_reading(path, left_out, [])
    if not cells:
        raise ValueError(f"{path} has no cells")
    return cells


def campaign_cells(session: Session) -> list[Atoms]:
    """Return a campaign's good labels, or all cells of its ledger if there are no labels yet."""
    from pymatgen.core import Structure

    from entropy_flows.geometry import to_atoms

    frames = session.store.frames(foreign={"$ne": True})
    if not frames:
        excluded = session.store.excluded()
        entries = session.store.ledger(session.settings.dataset).entries()
        frames = [
            to_atoms(Structure.from_dict(entry["structure"]))
            for entry in entries
            if entry["key"] not in excluded
        ]
    if not frames:
        raise ValueError(f"campaign {session.store.name} has no cells yet")
    return frames
