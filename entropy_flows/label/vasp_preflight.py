"""Checks of VASP before it runs: its inputs can be written, its program and POTCARs are here.

A Maker that can write inputs for no cell is told from a cell that no inputs can be written for.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import warnings
from typing import TYPE_CHECKING, Any

from entropy_flows.faults import error_line, is_machine_fault

if TYPE_CHECKING:
    from jobflow import Maker
    from pymatgen.core import Structure

_SPACING = 4.0  # Å
_TABLES_BY_ELEMENT = (
    "MAGMOM and LDAUU are values by element, such as {Ni: 2.0}, as an input set serves many cells"
)
_SHELLS = ("sh", "bash", "zsh", "ksh", "csh", "tcsh")


def missing_program(maker: Maker) -> str | None:
    """Return what this machine lacks to run VASP: its POTCARs, its command; None if nothing."""
    lacking = []
    if potcar_library() is None and not writes_spec(maker):
        lacking.append("no POTCARs: PMG_VASP_PSP_DIR in ~/.pmgrc.yaml names no folder")
    for command in vasp_commands(maker):
        missing = next((word for word in _programs(command) if shutil.which(word) is None), None)
        if missing is not None:
            lacking.append(
                f"no {missing!r}, of VASP's command {command!r} (VASP_CMD in ~/.atomate2.yaml)"
            )
            break
    return "; ".join(lacking) or None


def missing_potcar(maker: Maker, structure: Structure) -> str | None:
    """Return which pseudopotential of a cell this machine's library lacks, and why.

    None if it has all, or if there is no library here: then another machine may have one.
    """
    from pymatgen.io.vasp.inputs import PotcarSingle

    from entropy_flows.label.vasp_inputs import planned_inputs

    library = potcar_library()
    if library is None or writes_spec(maker):
        return None
    planned = planned_inputs(structure, maker)
    functional = planned.potcar_functional
    for symbol in planned.potcar:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                PotcarSingle.from_symbol_and_functional(symbol, functional)
        except (OSError, ValueError, LookupError) as err:
            if is_machine_fault(err):
                raise
            return f"POTCAR {symbol} ({functional}) in {library}: {' '.join(str(err).split())}"
    return None


def potcar_library() -> str | None:
    """Return the folder of the pseudopotentials; None if there is none on this machine."""
    folder = potcar_setting()
    return folder if folder is not None and os.path.isdir(folder) else None


def potcar_setting() -> str | None:
    """Return the folder that pymatgen's settings name, be it there or not."""
    from pymatgen.io.vasp.inputs import SETTINGS

    folder = SETTINGS.get("PMG_VASP_PSP_DIR")
    return str(folder) if folder else None


def fault_of(maker: Maker, structure: Structure) -> str | None:
    """Return what a Maker raises when it writes the inputs of a cell, in one line; else None."""
    from entropy_flows.label.vasp_inputs import planned_inputs

    try:
        planned_inputs(structure, maker)
    except Exception as err:  # input sets raise whatever their code runs into
        if is_machine_fault(err) and not isinstance(err, ImportError):
            raise
        is_list = isinstance(err, AttributeError) and "object has no attribute 'get'" in str(err)
        hint = f" ({_TABLES_BY_ELEMENT})" if is_list else ""
        return f"{error_line(err)}{hint}"
    return None


def ordinary_cell(structure: Structure) -> Structure:
    """Build a row of the elements in a box, with nothing else that a structure may carry."""
    from pymatgen.core import Lattice, Structure

    symbols = sorted({site.specie.symbol for site in structure})
    positions = [[index / len(symbols), 0.0, 0.0] for index in range(len(symbols))]
    lattice = Lattice.orthorhombic(_SPACING * len(symbols), _SPACING, _SPACING)
    return Structure(lattice, symbols, positions)


def vasp_commands(maker: Any) -> list[str]:
    """Return VASP's commands: for many k points, and for Γ alone."""
    from atomate2 import SETTINGS

    run_kwargs = getattr(maker, "run_vasp_kwargs", {})
    command = run_kwargs.get("vasp_cmd") or SETTINGS.VASP_CMD
    gamma_command = run_kwargs.get("vasp_gamma_cmd") or SETTINGS.VASP_GAMMA_CMD
    return [str(command), str(gamma_command)]


def _programs(command: str) -> list[str]:
    """Return the programs of a command: its first word, and VASP itself after srun or mpirun."""
    words = shlex.split(os.path.expandvars(command))
    if words and os.path.basename(words[0]) in _SHELLS:
        return words[:1]
    return words[:1] + [word for word in words[1:] if re.fullmatch(r"(.*/)?vasp_\w+", word)]


def writes_spec(maker: Any) -> bool:
    """Return whether a Maker's VASP finds its pseudopotentials by other means than a POTCAR."""
    return bool(getattr(maker, "write_input_set_kwargs", {}).get("potcar_spec"))
