"""Whether a label engine can work at all: found out with the seeds before anything runs, and told from a bad cell."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from entropy_flows.faults import is_machine_fault
from entropy_flows.label.engines import engine_name, is_vasp
from entropy_flows.label.reasons import EngineError

if TYPE_CHECKING:
    from jobflow import Maker
    from pymatgen.core import Structure

_SPACING = 4.0  # Å
_SHELLS = ("sh", "bash", "zsh", "ksh", "csh", "tcsh")


def check_engine(maker: Maker, cells: Mapping[str, Structure]) -> None:
    """Write each cell's inputs, in memory, and find their pseudopotentials where this machine has a library.

    Parameters
    ----------
    maker
        Static Maker; one that is not of VASP passes.
    cells
        Name → cell.

    Raises
    ------
    EngineError
        In one line: which cell has no inputs, or which pseudopotential is not there.
    """
    if not is_vasp(maker):
        return
    for name, cell in cells.items():
        if (fault := _fault_of(maker, cell)) is not None:
            raise EngineError(f"{engine_name(maker)} cannot write the inputs of {name!r}: {fault}")
    if potcar_library() is not None and not _writes_spec(maker):
        for cell in cells.values():
            _check_potcars(maker, cell)


def check_engine_here(maker: Maker) -> None:
    """Raise an EngineError if this machine lacks what a VASP Maker needs to run on it."""
    if (missing := missing_here(maker)) is not None:
        raise EngineError(f"{engine_name(maker)} cannot run here: {missing}")


def missing_here(maker: Maker) -> str | None:
    """What this machine lacks of what a VASP Maker needs to run: its POTCARs or its command; None if nothing."""
    if not is_vasp(maker):
        return None
    if potcar_library() is None and not _writes_spec(maker):
        return "no POTCARs: PMG_VASP_PSP_DIR in ~/.pmgrc.yaml names no folder"
    for command in _commands(maker):
        missing = next((word for word in _programs(command) if shutil.which(word) is None), None)
        if missing is not None:
            return f"no {missing!r}, of VASP's command {command!r} (VASP_CMD in ~/.atomate2.yaml)"
    return None


def writes_no_inputs(maker: Maker, structure: Structure) -> str | None:
    """Why a VASP Maker writes inputs neither for this cell nor for an ordinary one of its elements.

    Returns
    -------
    str or None
        What it raises for the ordinary cell; None if it is this cell's fault, or if it does write
        them.
    """
    if not is_vasp(maker) or _fault_of(maker, structure) is None:
        return None
    return _fault_of(maker, _ordinary_cell(structure))


def potcar_library() -> str | None:
    """Folder of the pseudopotentials, None if there is none on this machine."""
    from pymatgen.io.vasp.inputs import SETTINGS

    folder = SETTINGS.get("PMG_VASP_PSP_DIR")
    return str(folder) if folder and os.path.isdir(str(folder)) else None


def _fault_of(maker: Maker, structure: Structure) -> str | None:
    """What a Maker raises when it writes the inputs of a cell, in one line."""
    from entropy_flows.label.vasp_inputs import planned_inputs

    try:
        planned_inputs(structure, maker)
    except Exception as err:  # input sets raise whatever their code runs into
        if is_machine_fault(err) and not isinstance(err, ImportError):
            raise
        hint = ""
        if isinstance(err, AttributeError) and "object has no attribute 'get'" in str(err):
            hint = " (MAGMOM and LDAUU are values by element, such as {Ni: 2.0}, as an input set serves many cells)"
        return f"{type(err).__name__}: {' '.join(str(err).split())}{hint}"
    return None


def _ordinary_cell(structure: Structure) -> Structure:
    """A row of the elements in a box, without anything else that a structure may carry."""
    from pymatgen.core import Lattice, Structure

    symbols = sorted({site.specie.symbol for site in structure})
    places = [[number / len(symbols), 0.0, 0.0] for number in range(len(symbols))]
    lattice = Lattice.orthorhombic(_SPACING * len(symbols), _SPACING, _SPACING)
    return Structure(lattice, symbols, places)


def _check_potcars(maker: Maker, structure: Structure) -> None:
    from pymatgen.io.vasp.inputs import PotcarSingle

    from entropy_flows.label.vasp_inputs import planned_inputs

    planned = planned_inputs(structure, maker)
    for symbol in planned.potcar:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                PotcarSingle.from_symbol_and_functional(symbol, planned.potcar_functional)
        except (OSError, ValueError, LookupError) as err:
            if is_machine_fault(err):
                raise
            where = f"POTCAR {symbol} ({planned.potcar_functional}) in {potcar_library()}"
            raise EngineError(
                f"{engine_name(maker)} has no {where}: {' '.join(str(err).split())}"
            ) from None


def _commands(maker: Any) -> list[str]:
    """VASP's commands of a Maker, for many k points and for Γ alone."""
    from atomate2 import SETTINGS

    given = getattr(maker, "run_vasp_kwargs", {})
    commands = [
        given.get("vasp_cmd") or SETTINGS.VASP_CMD,
        given.get("vasp_gamma_cmd") or SETTINGS.VASP_GAMMA_CMD,
    ]
    return [str(command) for command in commands]


def _programs(command: str) -> list[str]:
    """Programs of a command: its first word, and VASP itself after srun or mpirun."""
    words = shlex.split(os.path.expandvars(command))
    if words and os.path.basename(words[0]) in _SHELLS:
        return words[:1]
    return words[:1] + [word for word in words[1:] if re.fullmatch(r"(.*/)?vasp_\w+", word)]


def _writes_spec(maker: Any) -> bool:
    """Whether a Maker's VASP finds its pseudopotentials by other means than a POTCAR."""
    return bool(getattr(maker, "write_input_set_kwargs", {}).get("potcar_spec"))
