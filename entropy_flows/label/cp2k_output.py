"""What CP2K prints, and what atomate2's task document of it means.

    energy    F (Hartree in the output; pymatgen makes it eV)
    forces    Hartree/Bohr, as printed; atomate2 and pymatgen leave them so
    stress    positive under compression, as VASP's; GPa up to version 2023, bar since
    moments   of Mulliken's analysis (μ_B), which add up to that of the cell

The document says nothing of the entropy of the occupations, nor of the unit of the stress: both
are read from the output.
"""

from __future__ import annotations

import gzip
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase.units import Bohr, Hartree

from entropy_flows.conventions import Array
from entropy_flows.label.document import is_success, value_at

OUTPUT = "cp2k.out"
_KBAR = {"GPa": 10.0, "bar": 1e-3, "kbar": 1.0}
"""One of CP2K's units of the stress in kBar."""
_LAST_IN_GPA = 2023


@dataclass(frozen=True)
class Cp2kRun:
    """The state of a run, as its output says.

    Parameters
    ----------
    has_ended
        Whether CP2K came to its end.
    is_unconverged
        Whether electronic steps ran out.
    is_out_of_time
        Whether it stopped for its own limit of time.
    entropy_term
        −T S (eV); 0 without smearing.
    stress_unit
        Unit of the stress as printed; None if there is none.
    abort
        What CP2K says in its box [ABORT], in one line; None if nothing.
    """

    has_ended: bool
    is_unconverged: bool
    is_out_of_time: bool
    entropy_term: float
    stress_unit: str | None
    abort: str | None


def read_run(directory: str | Path = ".") -> Cp2kRun | None:
    """Read the output of the run in a folder; None if there is none."""
    text = _text(Path(directory) / OUTPUT)
    if text is None:
        return None
    entropies = re.findall(r"Electronic entropic energy:\s+(\S+)", text)
    units = re.findall(r"STRESS\| Analytical stress tensor \[(\w+)\]", text)
    return Cp2kRun(
        has_ended="PROGRAM ENDED AT" in text,
        is_unconverged="SCF run NOT converged" in text,
        is_out_of_time="exceeded requested execution time" in text,
        entropy_term=float(entropies[-1]) * Hartree if entropies else 0.0,
        stress_unit=units[-1] if units else None,
        abort=_abort(text),
    )


def moments_of_run(directory: str | Path = ".") -> Array | None:
    """Read the final moments (n,) in μ_B of the run in a folder; None of a run without spin."""
    text = _text(Path(directory) / OUTPUT) or ""
    table = text.rpartition("Mulliken Population Analysis")[2]
    # atom, element, kind, population of each spin, charge, moment
    row = r"^ +\d+ +[A-Z][a-z]? +\d+" + 3 * r" +\S+" + r" +(\S+)$"
    moments = re.findall(row, table.partition("# Total charge")[0], re.MULTILINE)
    return np.array(moments, dtype=float) if moments else None


def is_cp2k_task(doc: Any) -> bool:
    """Return whether a task document is of a run of CP2K."""
    return value_at(doc, "calcs_reversed", 0, "cp2k_version") is not None


def numbers_of_cp2k(doc: Any) -> dict[str, Any]:
    """Read the numbers and the provenance of a task of CP2K; stress in kBar.

    Parameters
    ----------
    doc
        atomate2's task document, or its dictionary.
    """
    calc = value_at(doc, "calcs_reversed", 0)
    forces = value_at(doc, "output", "forces")
    stress = value_at(doc, "output", "stress")
    version = str(value_at(calc, "cp2k_version"))
    unit = documented_unit(version)
    return {
        "energy": value_at(doc, "output", "energy"),
        "forces": None if forces is None else np.array(forces, dtype=float) * Hartree / Bohr,
        "kbar": None if stress is None else np.array(stress, dtype=float) * _KBAR[unit],
        "wall_seconds": value_at(calc, "output", "run_stats", "total_time"),
        "unconverged": None if is_success(value_at(doc, "state")) else "the run is said to fail",
        "provenance": {
            "code": "CP2K",
            "version": version,
            "functional": value_at(calc, "input", "dft", "functional"),
            "kinds": _kinds(doc),
            "directory": value_at(calc, "dir_name"),
        },
    }


def documented_unit(version: str) -> str:
    """Return the unit of the stress that a version of CP2K prints."""
    year = re.search(r"\d{4}", version)
    is_later = year is not None and int(year.group()) > _LAST_IN_GPA
    return "bar" if is_later else "GPa"


def _kinds(doc: Any) -> dict[str, dict[str, Any]]:
    """Return basis set and potential by element."""
    kinds = value_at(doc, "input", "atomic_kind_info", "atomic_kinds") or {}
    return {
        str(value_at(kind, "element")): {
            name: value_at(kind, name) for name in ("basis", "potential")
        }
        for kind in kinds.values()
    }


def _abort(text: str) -> str | None:
    """Return the words of CP2K's box [ABORT]."""
    _, box, rest = text.partition("[ABORT]")
    if not box:
        return None
    lines = []
    for line in rest.splitlines()[1:]:
        if set(line.strip()) == {"*"}:
            break
        lines.append(re.sub(r"^ \*(  \\___/|    \||  O/\||  /\| \||  / \\|)?|\*$", "", line))
    return " ".join(" ".join(lines).split()) or None


def _text(path: Path) -> str | None:
    """Return the text of a file that may have been compressed; None if there is none."""
    packed = path.with_name(f"{path.name}.gz")
    if path.is_file():
        return path.read_text(errors="replace")
    if packed.is_file():
        with gzip.open(packed, "rt", errors="replace") as file:
            return file.read()
    return None
