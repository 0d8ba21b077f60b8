"""Labelled cells of extended XYZ files."""

from __future__ import annotations

import gzip
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from ase.units import GPa

from entropy_flows.conventions import to_matrix
from entropy_flows.geometry import to_structure
from entropy_flows.label.frame import Existing, sha256_of
from entropy_flows.label.read import read_label

if TYPE_CHECKING:
    from ase import Atoms


def read_extxyz(path: Path) -> Iterator[Existing]:
    """Frames of an extended XYZ file."""
    from ase.io import read

    digest = sha256_of(path)
    for index, lines in enumerate(_frames(path)):
        known: dict[str, Any] = {"place": f"{path.name}[{index}]", "settings": {"file": digest}}
        known["source"] = {"file": path.name, "sha256": digest, "index": index}
        if len(lines) != int(lines[0]) + 2:
            said = f"it says {int(lines[0])} atoms and has {max(len(lines) - 2, 0)} lines of them"
            yield Existing(**known, defect=said)
            continue
        try:
            atoms = read(io.StringIO("".join(lines)), format="extxyz")
        except Exception as err:  # whatever ASE's parser stumbles over
            yield Existing(**known, defect=f"not readable: {type(err).__name__}: {err}")
            continue
        yield _of_atoms(cast("Atoms", atoms), known)


def _frames(path: Path) -> Iterator[list[str]]:
    """Lines of each frame. A frame starts at a line with a number alone, so that a damaged one ends before the next."""
    frame: list[str] = []
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as stream:
        try:
            for line in stream:
                if len(frame) != 1 and re.fullmatch(r"\s*\d+\s*", line):
                    if frame:
                        yield frame
                    frame = []
                if not frame and line.strip() and not line.strip().isdigit():
                    said = f"expected a number of atoms, got {line.strip()[:60]!r}"
                    raise ValueError(f"{path} is not extended XYZ: {said}")
                if line.strip() or len(frame) == 1:
                    frame.append(line)
        except (OSError, EOFError, UnicodeDecodeError) as err:
            raise ValueError(f"{path} is damaged: {err}") from None
    if frame:
        yield frame


def _of_atoms(atoms: Atoms, known: dict[str, Any]) -> Existing:
    results = dict(atoms.calc.results) if atoms.calc is not None else {}
    free = results.get("free_energy", results.get("energy"))
    if free is None or results.get("forces") is None:
        missing = "energy" if free is None else "forces"
        there = ", ".join(sorted({*results, *atoms.info, *atoms.arrays} - {"numbers", "positions"})) or "nothing"
        return Existing(**known, defect=f"no {missing}; beside the cell it has {there}")
    if not atoms.pbc.all() or atoms.cell.rank < 3:
        return Existing(**known, defect="not periodic in three directions")
    label = read_label({"output": {"energy": results.get("energy", free), "forces": results["forces"]}})
    try:
        stress = _stress(atoms, results)
    except ValueError as err:
        return Existing(**known, defect=str(err))
    finite = np.isfinite([free, *atoms.cell[:].ravel(), *atoms.positions.ravel()]).all()
    if not (label.converged and finite):
        return Existing(**known, defect=label.evidence or "energy, positions or cell are not finite")
    told = {name: value for name, value in atoms.info.items() if isinstance(value, str)}
    label = replace(
        label,
        free_energy=float(free),
        stress=stress,
        pressure=None if stress is None else float(-np.trace(stress) / 3 / GPa),
        provenance={"told": told} if told else {},
    )
    return Existing(**known, structure=to_structure(atoms), label=label)


def _stress(atoms: Atoms, results: Mapping[str, Any]) -> np.ndarray | None:
    """Stress (3, 3) in eV/Å³, ASE's sign; None if there is neither stress nor virial."""
    if (given := results.get("stress")) is None and (virial := atoms.info.get("virial")) is not None:
        given = -np.asarray(virial, dtype=float) / atoms.get_volume()
    if given is None:
        return None
    given = np.asarray(given, dtype=float)
    stress = to_matrix(given) if given.shape == (6,) else given
    if stress.shape != (3, 3) or not np.isfinite(stress).all():
        raise ValueError(f"stress or virial of shape {stress.shape} with {np.isnan(stress).sum()} NaN, expected (3, 3)")
    return stress
