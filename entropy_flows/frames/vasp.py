"""Frames of VASP's files: steps of vasprun.xml and OUTCAR, configurations of XDATCAR."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io.vasp import read_vasp_xdatcar
from ase.io.vasp_parsers.vasp_outcar_parsers import outcarchunks

from entropy_flows.conventions import to_voigt
from entropy_flows.geometry import to_atoms
from entropy_flows.label.compressed import open_binary
from entropy_flows.label.frame import ImportedFrame
from entropy_flows.label.vasp_runs import frame_of_step, shared_content
from entropy_flows.label.vasprun import parse_step, stream_steps

if TYPE_CHECKING:
    from pymatgen.core import Structure
    from pymatgen.io.vasp import Vasprun

_CONFIGURATION = "Direct configuration="
_HEADER_LINES = 7
"""Lines of an XDATCAR before its configurations: name, scale, lattice, symbols, numbers."""


@dataclass(frozen=True, eq=False)
class RunStep:
    """A step of a vasprun.xml, not parsed yet.

    Attributes
    ----------
    head
        The run's head.
    element
        XML of the step; <structure> is one of VASP's ML force field, which has no label.
    """

    head: Vasprun
    element: Any

    @cached_property
    def parsed(self) -> dict[str, Any]:
        """The step as pymatgen has it; a ValueError if it is not readable."""
        if self.element.tag == "structure":
            return {"structure": self.head._parse_structure(self.element)}
        step = parse_step(self.head, self.element)
        if isinstance(step, str):
            raise ValueError(step)
        return step

    @property
    def structure(self) -> Structure:
        """Cell of the step."""
        structure: Structure = self.parsed["structure"]
        return structure

    def label(self) -> ImportedFrame | None:
        """Return the step's label, checked as for an import; None if it has none."""
        if not self.parsed.get("electronic_steps"):
            return None
        frame = frame_of_step(self.parsed, shared_content(self.head), "", {}, {})
        return None if frame.defect else frame


def cut_vasprun(path: Path) -> Iterator[RunStep]:
    """Yield the steps of a run."""
    for head, element in stream_steps(path):
        yield RunStep(head, element)


def build_cell(step: RunStep) -> Atoms:
    """Build the bare cell of a step."""
    return to_atoms(step.structure)


def build_labelled(step: RunStep) -> Atoms:
    """Build the cell of a step with its label if it is a good one."""
    atoms = build_cell(step)
    frame = step.label()
    if frame is None or frame.label is None:
        return atoms
    label = frame.label
    results: dict[str, Any] = {
        "energy": label.energy,
        "free_energy": label.free_energy,
        "forces": label.forces,
    }
    if label.stress is not None:
        results["stress"] = to_voigt(label.stress)
    atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


def cut_outcar(path: Path) -> Iterator[Any]:
    """Yield the steps of an OUTCAR as ASE cuts it."""
    with open_binary(path) as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8", errors="replace")
        # ASE looks beside the file for constraints, which are none of a frame's business
        lines: Any = _Nameless(text)
        yield from outcarchunks(lines)


def build_step(chunk: Any) -> Atoms:
    """Build the cell of a step of an OUTCAR, with its energy and forces."""
    atoms: Atoms = chunk.build()
    atoms.set_constraint()
    return atoms


class _Nameless:
    """Lines of a text, for a parser that asks for the name of their file."""

    name = "OUTCAR"

    def __init__(self, text: Any) -> None:
        self._text = text

    def __iter__(self) -> Iterator[str]:
        return iter(self._text)

    def __next__(self) -> str:
        return next(self._text)


def cut_xdatcar(path: Path) -> Iterator[str]:
    """Yield each configuration of an XDATCAR with the lattice that it belongs to."""
    with open_binary(path) as stream:
        lines = io.TextIOWrapper(stream, encoding="utf-8", errors="replace")
        header = list(islice(lines, _HEADER_LINES))
        configuration: list[str] = []
        size = 0
        for line in lines:
            if _CONFIGURATION in line:
                size = sum(int(word) for word in header[-1].split())
                configuration = [line]
            elif size and len(configuration) <= size:
                configuration.append(line)
            else:  # a new lattice stands before the next configuration
                header = [line, *islice(lines, _HEADER_LINES - 1)]
                continue
            if len(configuration) == size + 1:
                yield "".join([*header, *configuration])
        if 0 < len(configuration) <= size:
            yield "".join([*header, *configuration])


def build_configuration(text: str) -> Atoms:
    """Build the cell of a configuration."""
    atoms: Atoms = read_vasp_xdatcar(io.StringIO(text), index=0)
    return atoms
