"""Cells of a file or of a campaign, labelled or not: what `diversity` and `export` take."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from entropy_flows.cli.session import Session, stored
from entropy_flows.faults import is_machine_fault

if TYPE_CHECKING:
    from ase import Atoms

ENDINGS = (".gz", ".extxyz", ".xyz", ".yaml", ".yml")


def is_campaign(path: Path) -> bool:
    """Whether it is a campaign file, by its ending."""
    return path.suffix in (".yaml", ".yml")


def set_names(paths: Sequence[Path]) -> list[str]:
    """A name for each source: its file's, without endings; the whole path where two would have the same.

    Raises
    ------
    ValueError
        If a path is given twice.
    """
    if len({path.resolve() for path in paths}) < len(paths):
        raise ValueError(f"{', '.join(map(str, paths))}: one is named twice")
    short = [_stem(path.name) for path in paths]
    return [name if short.count(name) == 1 else str(path) for name, path in zip(short, paths, strict=True)]


def _stem(name: str) -> str:
    for ending in ENDINGS:
        name = name.removesuffix(ending)
    return name


def read_cells(path: Path) -> list[Atoms]:
    """All cells of an extended XYZ file (or any other that ASE reads), or of a campaign's data set.

    Raises
    ------
    ValueError
        If the file is not there, not readable, or has no cells.
    """
    from ase.io import read

    if is_campaign(path):
        with stored(path, None) as opened:
            return campaign_cells(opened)
    if not path.is_file():
        raise ValueError(f"{path} does not exist; expected an extended XYZ file or a campaign file")
    extended = path.name.removesuffix(".gz").endswith((".extxyz", ".xyz"))
    try:
        found: Any = read(path, index=":", format="extxyz" if extended else None)
    except Exception as err:  # whatever ASE's parsers stumble over
        if is_machine_fault(err):
            raise
        raise ValueError(f"{path} is not readable: {type(err).__name__}: {err}") from None
    if not found:
        raise ValueError(f"{path} has no cells")
    return found


def campaign_cells(opened: Session) -> list[Atoms]:
    """A campaign's good labels; all cells of its ledger, if there are no labels yet."""
    from pymatgen.core import Structure

    from entropy_flows.geometry import to_atoms

    frames = opened.store.frames(foreign={"$ne": True})
    if not frames:
        entries = opened.store.ledger(opened.settings.dataset).entries()
        frames = [to_atoms(Structure.from_dict(entry["structure"])) for entry in entries]
    if not frames:
        raise ValueError(f"campaign {opened.store.name} has no cells yet")
    return frames
