"""Failure as data: why a label failed, in a fixed vocabulary.

Cells full of entropy fail often (27 % of Wang 2026's random carbon cells did not converge), so a
failed label is a row like any other. It is found before the run (`check_geometry`), in the
exception that ended it (`reason_from_exception`), or in its numbers (`read_label`); `run.label_one`
goes through the three.
"""

from __future__ import annotations

import gzip
import json
import traceback
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase.data import covalent_radii

from entropy_flows.faults import MachineError

if TYPE_CHECKING:
    from pymatgen.core import Structure


_EVIDENCE_LENGTH = 1000
_VOLUME_WINDOW = (0.5, 1000.0)
"""Volume per atom, in units of its covalent sphere: diamond has 3.1, rock salt 1.9."""


class Reason(StrEnum):
    """Reasons of a failed label: all values of `labels.reason` in the database."""

    SCF_NOT_CONVERGED = "scf_not_converged"
    CRASH = "crash"
    WALLTIME = "walltime"
    BAD_GEOMETRY = "bad_geometry"
    PARSE_ERROR = "parse_error"
    INCONSISTENT_OUTPUT = "inconsistent_output"
    OUT_OF_MEMORY = "out_of_memory"
    REJECTED = "rejected"
    """By somebody who was asked for an approval."""


class EngineError(MachineError):
    """The label engine cannot label anything as it is configured; no structure is to blame."""


class InconsistentOutputError(ValueError):
    """A task document cannot be this structure's label.

    It has other atoms, no forces, or numbers that are not physics.
    """


# Reasons of custodian's handlers and validators, and of exception classes by name.
_BY_NAME = {
    "UnconvergedErrorHandler": Reason.SCF_NOT_CONVERGED,
    "NonConvergingErrorHandler": Reason.SCF_NOT_CONVERGED,
    "KohnShamConvergenceError": Reason.SCF_NOT_CONVERGED,
    "SCFError": Reason.SCF_NOT_CONVERGED,
    "WalltimeHandler": Reason.WALLTIME,
    "FrozenJobErrorHandler": Reason.WALLTIME,
    "TimeoutError": Reason.WALLTIME,
    "TimeoutExpired": Reason.WALLTIME,
    "VasprunXMLValidator": Reason.PARSE_ERROR,
    "ParseError": Reason.PARSE_ERROR,
    "JSONDecodeError": Reason.PARSE_ERROR,
    "UnicodeDecodeError": Reason.PARSE_ERROR,
    "ReadError": Reason.PARSE_ERROR,
    "MemoryError": Reason.OUT_OF_MEMORY,
    "OutOfMemoryError": Reason.OUT_OF_MEMORY,
    "InconsistentOutputError": Reason.INCONSISTENT_OUTPUT,
}

# Words of exceptions whose class says nothing; the order is the order of trust.
_MEMORY_WORDS = (
    *("out of memory", "out_of_memory", "oom-kill"),
    *("exceed memory limit", "cannot allocate"),
)
_TIME_WORDS = ("due to time limit", "walltime", "timed out")
_SCF_WORDS = ("did not converge", "not converged", "unconverged", "failed to converge")

# A shell, srun, mpirun or the loader, of an executable that is not there or lacks its libraries.
_NOT_STARTED = (
    "command not found",
    "execve():",
    "find the specified executable",
    "error while loading shared libraries",
    "cannot execute binary file",
)

# A traceback that ends in one of these was reading what the engine wrote.
_PARSERS = (
    "emmet/core",
    "pymatgen/io/vasp/outputs",
    "pymatgen/io/cp2k/outputs",
    "pymatgen/io/aims/outputs",
    "pymatgen/io/aims/parsers",
    "ase/io",
    "xml/",
)


def reason_from_exception(exc: BaseException, directory: str | Path = ".") -> tuple[Reason, str]:
    """Find the reason of a failed static calculation, and evidence for it.

    Custodian gives up with the same exception for many troubles ("max errors reached"), so its log
    is asked where the exception's class says nothing, and the engine's last words are searched for
    a lack of memory.

    Parameters
    ----------
    exc
        What the static Maker raised.
    directory
        Where it ran: custodian.json, std_err.txt and vasp.out are read if there.

    Returns
    -------
    tuple
        The `Reason`, and at most 1000 characters of evidence.
    """
    directory = Path(directory)
    correction = _last_correction(directory)
    last_words = " | ".join(
        filter(None, (_tail(directory / name) for name in ("std_err.txt", "vasp.out")))
    )
    message = " ".join(f"{type(e).__name__}: {e}" for e in _chain(exc))
    parts = (message, correction and f"custodian: {correction}", last_words)
    evidence = "; ".join(filter(None, parts))[:_EVIDENCE_LENGTH]
    # Memory comes first, as what follows an allocation that failed is its echo.
    for text in (message, correction, last_words):
        if any(word in text.lower() for word in _MEMORY_WORDS):
            return Reason.OUT_OF_MEMORY, evidence
    for name in _names(exc):
        if name in _BY_NAME:
            return _if_there_is_output(_BY_NAME[name], directory), evidence
    if _is_bad_document(exc) or _raised_by_a_parser(exc):
        return _if_there_is_output(Reason.PARSE_ERROR, directory), evidence
    for name in correction.split():
        if name in _BY_NAME:
            return _BY_NAME[name], evidence
    for reason, words in (
        (Reason.WALLTIME, _TIME_WORDS),
        (Reason.SCF_NOT_CONVERGED, _SCF_WORDS),
    ):
        if any(word in message.lower() for word in words):
            return reason, evidence
    return Reason.CRASH, evidence


def check_geometry(structure: Structure, min_distance_fraction: float = 0.5) -> str | None:
    """Say what makes a cell not worth an electronic-structure calculation, or None.

    Parameters
    ----------
    structure
        The candidate.
    min_distance_fraction
        Shortest distance allowed, periodic images of an atom itself included, as a fraction of the
        sum of the two covalent radii.

    Returns
    -------
    str or None
        The defect in words with its numbers: non-finite positions or cell, an absurd volume,
        overlapping atoms.
    """
    if not (
        np.isfinite(structure.lattice.matrix).all() and np.isfinite(structure.frac_coords).all()
    ):
        return "positions or cell are not finite"
    radii = covalent_radii[[site.specie.Z for site in structure]]
    filling = structure.volume / (4 / 3 * np.pi * (radii**3).sum())
    low, high = _VOLUME_WINDOW
    if not low <= filling <= high:
        per_atom = structure.volume / len(structure)
        return (
            f"{per_atom:.3g} Å³ per atom is {filling:.3g} covalent spheres, outside "
            f"[{low:g}, {high:g}]"
        )
    i, j, _, distances = structure.get_neighbor_list(2 * radii.max() * min_distance_fraction)
    if len(distances) == 0:
        return None
    ratios = distances / (radii[i] + radii[j])
    worst = int(np.argmin(ratios))
    if ratios[worst] >= min_distance_fraction:
        return None
    first, second = i[worst], j[worst]
    species = f"{structure[first].specie}, {structure[second].specie}"
    return (
        f"atoms {first} and {second} ({species}) are {distances[worst]:.3f} Å apart, "
        f"{ratios[worst]:.2f} of their covalent radii's sum; at least {min_distance_fraction:g} "
        f"wanted"
    )


def _chain(exc: BaseException) -> Iterator[BaseException]:
    """Yield the exception and what it was raised from."""
    current: BaseException | None = exc
    while current is not None:
        yield current
        current = current.__cause__


def _names(exc: BaseException) -> list[str]:
    """List names that say what happened: custodian's handler or validator, then the classes."""
    names = []
    for e in _chain(exc):
        names += [
            type(getattr(e, key)).__name__ for key in ("handler", "validator") if hasattr(e, key)
        ]
        names += [cls.__name__ for cls in type(e).__mro__]
    return names


def corrections(directory: str | Path) -> list[dict[str, Any]]:
    """Read custodian's corrections of the last job in a directory; [] without a readable log."""
    directory = Path(directory)
    for path, opener in (
        (directory / "custodian.json", open),
        (directory / "custodian.json.gz", gzip.open),
    ):
        if path.is_file():
            try:
                with opener(path, "rt") as file:
                    return list(json.load(file)[-1]["corrections"])
            except (OSError, ValueError, LookupError, TypeError):
                return []
    return []


def reason_of_handler(correction: dict[str, Any]) -> Reason:
    """Return the reason that custodian gave up for after this correction."""
    return _BY_NAME.get(handler_name(correction), Reason.CRASH)


def handler_name(correction: dict[str, Any]) -> str:
    """Return the class of the handler that made a correction."""
    handler = correction.get("handler") or {}
    return handler.get("@class", "") if isinstance(handler, dict) else str(handler)


def _last_correction(directory: Path) -> str:
    """Return handler and errors of custodian's last correction; "" if there is none."""
    attempts = corrections(directory)
    if not attempts:
        return ""
    errors = " ".join(map(str, attempts[-1].get("errors") or []))
    return f"{handler_name(attempts[-1])} {errors}".strip()


def _tail(path: Path, length: int = 300) -> str:
    """Read the last characters of a text file; "" if there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - length))
            return file.read().decode(errors="replace").strip()
    except OSError:
        return ""


def _if_there_is_output(reason: Reason, directory: Path) -> Reason:
    """Call it a crash, not a parse error, if VASP was started here and left nothing to parse."""
    silent = any(directory.glob("INCAR*")) and not any(directory.glob("vasprun.xml*"))
    return Reason.CRASH if reason is Reason.PARSE_ERROR and silent else reason


def is_not_set_up(exc: BaseException, directory: str | Path = ".") -> bool:
    """Return whether this worker lacks the engine's packages, executable or pseudopotentials."""
    if isinstance(exc, (ImportError, EngineError)) or type(exc).__name__ == "PmgVaspPspDirError":
        return True
    frames = traceback.extract_tb(exc.__traceback__)
    origin = frames[-1].filename.replace("\\", "/") if frames else ""
    if isinstance(exc, FileNotFoundError) and origin.endswith(
        ("subprocess.py", "pymatgen/io/vasp/inputs.py")
    ):
        return True
    return not_started(directory) is not None


def not_started(directory: str | Path) -> str | None:
    """Return what the shell, srun or mpirun said if it did not find VASP or its libraries."""
    directory = Path(directory)
    has_inputs = any(directory.glob("INCAR*"))
    has_run = any(directory.glob("OUTCAR*")) or any(directory.glob("vasprun.xml*"))
    if not has_inputs or has_run:
        return None
    for name in ("std_err.txt", "vasp.out"):
        words = _tail(directory / name)
        if any(text in words.lower() for text in _NOT_STARTED):
            return words
    return None


def _is_bad_document(exc: BaseException) -> bool:
    """Return whether a task document could not be built: pydantic's error, not custodian's."""
    return type(exc).__name__ == "ValidationError" and type(exc).__module__.startswith("pydantic")


def _raised_by_a_parser(exc: BaseException) -> bool:
    frames = traceback.extract_tb(exc.__traceback__)
    return bool(frames) and any(
        parser in frames[-1].filename.replace("\\", "/") for parser in _PARSERS
    )
