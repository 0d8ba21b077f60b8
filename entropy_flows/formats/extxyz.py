"""Extended XYZ, plain and with MACE's names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ase import Atoms
from ase.io import write

from entropy_flows.formats.labelled import Labelled

DEFAULT_TYPE = "Default"
"""MACE's own name for cells of no particular kind."""


def write_extxyz(frames: Sequence[Atoms], file: Path) -> None:
    """Write cells as they are, with their labels and their origin."""
    for atoms in frames:
        atoms.info = {name: value for name, value in atoms.info.items() if value is not None}
    write(file, frames, format="extxyz")


def write_mace(frames: Sequence[Labelled], file: Path) -> None:
    """Write labels under the names that MACE reads by default.

    `config_type` is that of the cell, else its phase; MACE can weigh and report by it. Whatever
    else a cell carries (its split, where it comes from) is kept.
    """
    cells = []
    for frame in frames:
        atoms = frame.atoms.copy()
        atoms.info = {name: value for name, value in frame.info.items() if value is not None}
        atoms.info.pop("config_type", None)
        atoms.info["REF_energy"] = frame.energy
        atoms.arrays["REF_forces"] = frame.forces
        if frame.stress is not None:
            atoms.info["REF_stress"] = frame.stress
        if frame.magmoms is not None:
            atoms.arrays["REF_magmoms"] = frame.magmoms
        if frame.total_magmom is not None:
            atoms.info["REF_magmom"] = frame.total_magmom
        atoms.info["config_type"] = str(
            frame.info.get("config_type", frame.info.get("phase", DEFAULT_TYPE))
        )
        cells.append(atoms)
    write(file, cells, format="extxyz")
