"""A labelled cell that there is already, or the reason why it cannot be used."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from entropy_flows.label.read import Label

if TYPE_CHECKING:
    from pymatgen.core import Structure


@dataclass(frozen=True, eq=False)
class ImportedFrame:
    """A labelled cell of a file or of a task document, or the reason why there is none.

    Attributes
    ----------
    place
        Where it is, for people: "file.extxyz[12]".
    source
        Provenance: file, sha256 and index, or the task.
    structure, label
        The cell and its label.
    settings
        What the source says of the settings; equal for labels that may be mixed.
    inputs
        INCAR, k points and pseudopotentials of a VASP run.
    defect
        Why it cannot be used.
    split
        train, val or test, if the cell comes with it; it stays what it is.
    notes
        What was read under another name than the usual one, or not at all.
    """

    location: str
    source: dict[str, Any]
    structure: Structure | None = None
    label: Label | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    inputs: dict[str, Any] | None = None
    defect: str | None = None
    split: str | None = None
    notes: tuple[str, ...] = ()
