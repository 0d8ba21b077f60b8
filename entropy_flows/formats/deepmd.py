"""DeePMD systems in numpy files, by dpdata (extra `export`).

Energies are in eV, forces in eV/Å, virials = −V · stress in eV.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ase.calculators.singlepoint import SinglePointCalculator

from entropy_flows.conventions import to_voigt
from entropy_flows.formats.labelled import Labelled


def write_deepmd(frames: Sequence[Labelled], folder: Path) -> None:
    """Write one system for each formula, all with the same type map.

    A system has virials for all of its cells or for none, and repeats in space or does not. Where
    cells differ in that, each kind has a folder of its own.

    Raises
    ------
    ValueError
        If dpdata is not installed.
    """
    if find_spec("dpdata") is None:
        raise ValueError("DeePMD's format needs dpdata: pip install 'entropy_flows[export]'")
    import dpdata

    elements = sorted({symbol for frame in frames for symbol in frame.atoms.get_chemical_symbols()})
    kinds: dict[str, Any] = {}
    for frame in frames:
        kind = "no_virial" if frame.stress is None else "virial"
        if not frame.atoms.pbc.any():
            kind += "_open"
        atoms = frame.atoms.copy()
        numbers: dict[str, Any] = {"energy": frame.energy, "forces": frame.forces}
        if frame.stress is not None:
            numbers["stress"] = to_voigt(frame.stress)
        atoms.calc = SinglePointCalculator(atoms, **numbers)
        systems = kinds.setdefault(kind, dpdata.MultiSystems(type_map=elements))
        systems.append(dpdata.LabeledSystem(atoms, fmt="ase/structure"))
    for kind, systems in kinds.items():
        systems.to("deepmd/npy", str(folder if len(kinds) == 1 else folder / kind))
