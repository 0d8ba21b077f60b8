"""Read the file of a seed: one cell, by pymatgen's readers or as extended XYZ.

No module that a file names is imported.
"""

from __future__ import annotations

import io
import json
import re
import warnings
from pathlib import Path
from typing import Any

from ase import Atoms
from monty.io import zopen
from pymatgen.core import Structure

from entropy_flows.faults import is_machine_fault
from entropy_flows.geometry import periodicity_defect, to_structure
from entropy_flows.yaml_text import parse_yaml, shortened

MAX_BYTES = 64 * 2**20
"""Largest file, unpacked; a cell of a million atoms has less."""
_COMPRESSED = r"(\.(gz|bz2|xz|z))?$"
_XYZ = re.compile(r"\.(ext)?xyz" + _COMPRESSED, re.IGNORECASE)
_MSON = re.compile(r"\.(json|mson|ya?ml)" + _COMPRESSED, re.IGNORECASE)
_HARMLESS = ("pymatgen.core", "pymatgen.electronic_structure.core", "numpy")
"""Packages whose classes a file in pymatgen's own format may name."""


def read_structure(path: Path) -> Structure:
    """Read the one cell of a file.

    Parameters
    ----------
    path
        CIF, POSCAR, pymatgen's JSON or whatever else it reads; or extended XYZ (`.xyz`, `.extxyz`).

    Raises
    ------
    ValueError
        In one line: if there is no file, it cannot be read, or it has sites that are partly
        occupied.
    """
    if not path.is_file():
        if path.is_dir():
            raise ValueError(f"{path} is a folder, expected a file")
        raise ValueError(f"file {path} does not exist")
    if path.stat().st_size == 0:
        raise ValueError(f"{path} is empty")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            structure = _read(path)
        except Exception as err:  # parsers stumble in many ways
            if is_machine_fault(err):
                raise
            raise ValueError(
                f"{path} is not a structure file that can be read: {_reason(err, caught)}"
            ) from None
    if not structure.is_ordered:
        site = next(site for site in structure if not site.is_ordered)
        raise ValueError(
            f"{path} has sites that are partly occupied, or by several species, such as "
            f"{site.species_string}; give an ordered cell"
        )
    return structure


def _read(path: Path) -> Structure:
    if _XYZ.search(path.name):
        return _as_structure(_extended_xyz(_text(path)))
    if _MSON.search(path.name):
        text = _text(path)
        content = json.loads(text) if ".json" in path.name.lower() else parse_yaml(text)
        if not isinstance(content, dict):
            raise ValueError(f"expected a structure, got {type(content).__name__}")
        _refuse_classes(content)
        return Structure.from_dict(content)
    return Structure.from_file(path)


def _text(path: Path) -> str:
    """Return a file's text, unpacked; odd bytes stand in comments at most."""
    with zopen(path, "rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ValueError(f"it has more than {MAX_BYTES // 2**20} MiB")
    return bytes(data).decode("utf-8-sig", errors="replace")


def _extended_xyz(text: str) -> Atoms:
    """Return the one frame of an extended XYZ file, with its moments if it has any."""
    from ase.io import read

    frames: Any = read(io.StringIO(text), index=":", format="extxyz")
    if len(frames) != 1:
        raise ValueError(f"it has {len(frames)} cells; expected one")
    atoms: Atoms = frames[0]
    if defect := periodicity_defect(atoms):
        raise ValueError(f"it is {defect}")
    moments = atoms.calc.results.get("magmoms") if atoms.calc else None
    if moments is not None and not atoms.has("initial_magmoms"):
        atoms.set_initial_magnetic_moments(moments)
    return atoms


def _as_structure(atoms: Atoms) -> Structure:
    """Return a cell with moments, charges and fixed atoms where pymatgen keeps them."""
    structure = to_structure(atoms)
    if atoms.has("initial_charges"):
        structure.add_site_property("charge", atoms.get_initial_charges().tolist())
    if atoms.constraints:
        fixed = {index for constraint in atoms.constraints for index in constraint.get_indices()}
        moves = [[index not in fixed] * 3 for index in range(len(atoms))]
        structure.add_site_property("selective_dynamics", moves)
    return structure


def _refuse_classes(value: Any) -> None:
    """Refuse classes of other packages: reading them would import the package and run its code."""
    if isinstance(value, dict):
        module = value.get("@module")
        if module is not None and not any(
            f"{module}.".startswith(f"{name}.") for name in _HARMLESS
        ):
            raise ValueError(
                f"it names the module {shortened(str(module))!r}, which is not imported for a seed"
            )
        for item in value.values():
            _refuse_classes(item)
    elif isinstance(value, list):
        for item in value:
            _refuse_classes(item)


def _reason(err: Exception, caught: list[warnings.WarningMessage]) -> str:
    """Say what is wrong, with what the parser has only warned of."""
    occupancies = [str(warning.message) for warning in caught if "ccupanc" in str(warning.message)]
    messages = [str(err) or type(err).__name__, *occupancies]
    return "; ".join(shortened(text, 200) for text in dict.fromkeys(messages[:3]))
