"""Runs of VASP as labelled cells, read from vasprun.xml: cell and label of one ionic step each."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from entropy_flows.digest import file_sha256
from entropy_flows.faults import is_machine_fault
from entropy_flows.label.compressed import DAMAGE, open_binary
from entropy_flows.label.frame import ImportedFrame
from entropy_flows.label.ionic import NO_AB_INITIO
from entropy_flows.label.outcar import moments_beside
from entropy_flows.label.steps import LAST, StepRule
from entropy_flows.label.tasks import frame_of_task
from entropy_flows.label.vasprun import VaspOutput, VasprunError, read_output

if TYPE_CHECKING:
    from pymatgen.io.vasp import Vasprun

_NAME = re.compile(r"vasprun.*\.xml(\.[\w-]+)*", re.IGNORECASE)
_TEXT = re.compile(r"\.(ext)?xyz(\.[\w-]+)?$", re.IGNORECASE)


def read_vasprun(path: Path, location: str) -> ImportedFrame:
    """Read the last ionic step of a run of VASP.

    Parameters
    ----------
    path
        Its vasprun.xml under any name, compressed or not.
    place
        What to call it.

    Returns
    -------
    ImportedFrame
        Cell and label of the step, or why there are none.
    """
    return next(read_run(path, location, LAST))


def read_run(path: Path, location: str, rule: StepRule) -> Iterator[ImportedFrame]:
    """Read ionic steps of a run of VASP, each a frame, and a frame for a fault of the file.

    Parameters
    ----------
    path, place
        As for `read_vasprun`.
    rule
        Which steps. The last one is none of a file that was cut off.

    Yields
    ------
    ImportedFrame
        At least one.
    """
    source: dict[str, Any] = {"file": location}
    try:
        source["sha256"] = file_sha256(path)
        output = read_output(path, rule)
        shared = shared_content(output.head)
    except (ValueError, OSError) as err:
        if is_machine_fault(err) and not isinstance(err, PermissionError):
            raise
        yield ImportedFrame(location, source, defect=f"not readable: {err}")
        return
    if rule.every is not None or output.damage is None:
        for number, step in output.steps.items():
            name = location if rule.every is None else f"{location} step {number}"
            is_last = number == output.n_steps and output.damage is None
            outcar = (
                moments_beside(path) if is_last and output.head.parameters.get("ISPIN") == 2 else {}
            )
            yield frame_of_step(step, shared, name, source | {"step": number}, outcar)
    if (defect := _defect(output, rule)) is not None:
        yield ImportedFrame(location, source, defect=defect)


def is_run(path: Path) -> bool:
    """Return whether a file is a run of VASP: it is XML, or has such a name and no other format."""
    try:
        with open_binary(path) as stream:
            start = stream.read(256).lstrip(b"\xef\xbb\xbf\x00 \t\r\n")
    except DAMAGE as err:
        if is_machine_fault(err):
            raise
        return _is_name(path.name)
    return start.startswith(b"<") or (_is_name(path.name) and not start[:1].isdigit())


def find_runs(folder: Path) -> list[Path]:
    """Find every vasprun.xml at or below a folder, compressed or not, behind links, too."""
    runs: dict[str, Path] = {}
    walked: set[str] = set()
    for top, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(top)
        if real in walked:  # a link back to where it came from
            folders.clear()
            continue
        walked.add(real)
        for name in names:
            if _is_name(name):
                runs.setdefault(os.path.realpath(os.path.join(top, name)), Path(top, name))
    return sorted(runs.values())


def _is_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None and _TEXT.search(name) is None


def frame_of_step(
    step: dict[str, Any] | str,
    shared: dict[str, Any],
    location: str,
    source: dict[str, Any],
    outcar: dict[str, Any],
) -> ImportedFrame:
    """Make a frame of one ionic step.

    Parameters
    ----------
    step
        The step as `vasprun.parse_step` returns it.
    shared
        What `shared_content` returns of the run.
    location, source
        See `ImportedFrame`.
    outcar
        Final moments beside the run; empty for none.
    """
    if isinstance(step, str):
        return ImportedFrame(location, source, defect=step)
    if not step["electronic_steps"]:
        reason = (
            NO_AB_INITIO if shared["input"]["incar"].get("ML_LMLFF") else "no electronic step in it"
        )
        return ImportedFrame(location, source, defect=reason)
    calculation = {**shared, "output": {"ionic_steps": [step], "outcar": outcar}}
    task = {"output": {"structure": shared["structure"]}, "calcs_reversed": [calculation]}
    return frame_of_task(task, location, source)


def shared_content(head: Vasprun) -> dict[str, Any]:
    """Return what a calculation of a task document says of all its ionic steps.

    Raises
    ------
    VasprunError
        If the head is damaged.
    """
    try:
        titles = [title.split() for title in head.potcar_symbols]
        return {
            "vasp_version": head.vasp_version,
            "run_type": head.run_type,
            "structure": head.initial_structure,
            "input": {
                "incar": dict(head.incar),
                "parameters": dict(head.parameters),
                "kpoints": head.kpoints.as_dict(),
                "nkpoints": len(head.actual_kpoints),
                "potcar": [words[min(1, len(words) - 1)] for words in titles],
                "potcar_type": [words[0] for words in titles],
            },
        }
    except (AttributeError, LookupError, TypeError, ValueError) as err:
        raise VasprunError(f"its head is damaged: {type(err).__name__}: {err}") from None


def _defect(output: VaspOutput, rule: StepRule) -> str | None:
    """Say what is wrong with the run as a whole, or None."""
    n_requested = output.head.parameters.get("NSW") or output.head.incar.get("NSW") or 1
    if output.damage is not None:
        plural = "" if output.n_steps == 1 else "s"
        count = f"{output.n_steps} whole ionic step{plural} of {n_requested}"
        hint = "; --steps all imports them" if rule.every is None and output.n_steps else ""
        return f"{output.damage}, with {count} in it{hint}"
    if not output.n_steps:
        return NO_AB_INITIO if output.n_force_field else "no ionic step in it"
    if not output.steps:
        return f"{output.n_steps} ionic steps in it, none of which is a {rule.every}th"
    return None
