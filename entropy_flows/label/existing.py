"""Labelled cells that there are already: extended XYZ, runs of VASP, task documents in a database.

    extended XYZ      energy or free_energy (eV), forces (eV/Å), stress (eV/Å³, ASE's sign) or virial (eV, −V stress)
    vasprun.xml       the last ionic step; E₀, F, forces and stress as `read` has them
    task documents    whatever `read_label` reads, in jobflow's store or as they are

Each frame is a cell with its label, or with the reason why it has none: one bad frame costs no other.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from ase.units import GPa

from entropy_flows.conventions import to_matrix
from entropy_flows.geometry import to_structure
from entropy_flows.label.read import Label, read_label, structure_of

if TYPE_CHECKING:
    from ase import Atoms
    from jobflow import Maker
    from pymatgen.core import Structure

_RUN_SPECIFIC = ("kpoints", "n_kpoints", "electronic_steps", "directory", "version", "free_energy")


@dataclass(frozen=True, eq=False)
class Existing:
    """A frame of a source.

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
    """

    place: str
    source: dict[str, Any]
    structure: Structure | None = None
    label: Label | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    inputs: dict[str, Any] | None = None
    defect: str | None = None


def read_files(path: Path) -> Iterator[Existing]:
    """Frames of an extended XYZ file, or of every vasprun.xml at or below a path; either may be compressed by gzip.

    Raises
    ------
    ValueError
        If there is no such file, or nothing to import in it.
    """
    if not path.exists():
        raise ValueError(f"{path} does not exist; expected an extended XYZ file, or a folder with vasprun.xml files")
    if path.is_file() and not path.name.startswith("vasprun"):
        yield from read_extxyz(path)
        return
    found = [path] if path.is_file() else sorted(path.rglob("vasprun.xml")) + sorted(path.rglob("vasprun.xml.gz"))
    if not found:
        raise ValueError(f"{path} has no vasprun.xml or vasprun.xml.gz, nor is there one below it")
    for file in found:
        yield read_vasprun(file, str(file if file == path else file.relative_to(path)))


def read_extxyz(path: Path) -> Iterator[Existing]:
    """Frames of an extended XYZ file."""
    from ase.io import read

    digest = _sha256(path)
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


def read_vasprun(path: Path, place: str) -> Existing:
    """The last ionic step of a run of VASP, read by pymatgen."""
    from pymatgen.io.vasp import Vasprun

    source = {"file": place, "sha256": _sha256(path)}
    try:
        run = Vasprun(path, parse_dos=False, parse_eigen=False, parse_potcar_file=False)
        last = run.ionic_steps[-1]
        symbols = [title.split()[1] for title in run.potcar_symbols]
        inputs: dict[str, Any] = {
            "incar": dict(run.incar),
            "parameters": dict(run.parameters),
            "kpoints": run.kpoints.as_dict(),
        }
        inputs["potcar_type"] = [title.split()[0] for title in run.potcar_symbols]
        calculation = {
            "vasp_version": run.vasp_version,
            "has_vasp_completed": "successful" if run.converged_electronic else "failed",
            "run_type": run.run_type,
            "input": {**inputs, "nkpoints": len(run.actual_kpoints), "potcar": symbols},
            "output": {"ionic_steps": [last]},
        }
        output = {"energy": run.final_energy, **{name: last.get(name) for name in ("forces", "stress")}}
    except Exception as err:  # a file that was cut off ends in many ways
        return Existing(place, source, defect=f"not readable: {type(err).__name__}: {err}")
    task = {"output": {**output, "structure": run.final_structure}, "calcs_reversed": [calculation]}
    return of_task(task, place, source)


def read_tasks(rows: Iterable[Mapping[str, Any]], collection: str) -> Iterator[Existing]:
    """Task documents, as atomate2 stores them through jobflow or as they are."""
    for row in rows:
        stored = "uuid" in row and "index" in row
        name = str(row["uuid"] if stored else row.get("task_id", row.get("_id")))
        task = row.get("output") if stored else row
        yield of_task(task, f"{collection}: {name}", {"collection": collection, "task": name})


def of_task(task: Any, place: str, source: dict[str, Any]) -> Existing:
    """A task document as a frame."""
    try:
        label, structure = read_label(task), structure_of(task)
    except Exception as err:  # any document may be in a collection
        return Existing(place, source, defect=f"no label: {err}")
    if not label.converged:
        return Existing(place, source, defect=f"{label.reason}: {label.evidence}")
    if len(structure) != label.n_atoms or not structure.is_ordered:
        return Existing(place, source, defect=f"forces of {label.n_atoms} atoms, {len(structure)} sites")
    settings = {name: value for name, value in label.provenance.items() if name not in _RUN_SPECIFIC}
    calculations = task.get("calcs_reversed") if isinstance(task, Mapping) else None
    inputs = dict(calculations[0].get("input") or {}) if calculations else None
    return Existing(place, source, structure, label, settings, inputs)


def is_run_of(found: Existing, maker: Maker) -> bool:
    """Whether a frame is a run of VASP with the INCAR, the mesh and the POTCAR symbols that a Maker gives its cell.

    The date of a pseudopotential is not looked at, only its symbol and that it is PBE or not.
    """
    from entropy_flows.label import dft

    if found.inputs is None or found.structure is None or found.label is None:
        return False
    with tempfile.TemporaryDirectory() as folder:
        try:
            wanted = dft.write_inputs(found.structure, maker, folder)
        except ValueError:  # no Maker of VASP's, or one that does not know these elements
            return False
    mesh = found.label.provenance.get("kpoints") or {}
    pbe = [str(kind).upper().endswith("PBE") for kind in found.inputs.get("potcar_type") or []]
    return (
        dft.deciding_tags(found.inputs["incar"], mended=True) == dft.deciding_tags(wanted["incar"], mended=True)
        and str(mesh.get("style", "")).lower().startswith("gamma")
        and mesh.get("mesh") == wanted["kpoints"]
        and sorted(found.inputs.get("potcar") or []) == sorted(wanted["potcar"])
        and bool(pbe)
        and set(pbe) == {str(wanted["potcar_functional"] or "PBE").upper().startswith("PBE")}
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
