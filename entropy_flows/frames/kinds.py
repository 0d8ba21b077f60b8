"""Formats of files with frames: extended XYZ, VASP's, LAMMPS dumps, and the others that ASE has.

The kind of a file is told by its name and its first bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ase import Atoms

from entropy_flows.faults import is_machine_fault
from entropy_flows.frames import ase_formats, extxyz, lammps, vasp
from entropy_flows.label.compressed import DAMAGE, ENDINGS, open_binary
from entropy_flows.label.vasp_runs import is_run

_HEAD_BYTES = 4096
_PIECE = 64
_COUNT = re.compile(rb"\s*\d+\s*\r?\n")


@dataclass(frozen=True)
class FrameFormat:
    """The functions that read a file.

    Attributes
    ----------
    cut
        Yields the raw frames of a file, in an error's place the error.
    build
        Builds the bare cell of a raw frame, before the next one is asked for.
    build_labelled
        Builds it with everything that the frame has.
    """

    cut: Callable[[Path], Iterator[Any]]
    build: Callable[[Any], Atoms]
    build_labelled: Callable[[Any], Atoms]


def format_of(path: Path, species: Sequence[str] | None = None) -> FrameFormat:
    """Tell the format of a file.

    Parameters
    ----------
    path
        The file, compressed or not.
    species
        Elements of the types of a LAMMPS dump.

    Raises
    ------
    ValueError
        If there is no such file, it is empty, or it is of no known format.
    """
    if not path.is_file():
        raise ValueError(f"{path} does not exist")
    head = _head(path)
    if not head.strip():
        raise ValueError(f"{path} is empty")
    name = plain_name(path)
    if head.lstrip().startswith(b"ITEM:"):
        build_snapshot = partial(lammps.build_cell, species=species)
        return FrameFormat(lammps.cut_dump, build_snapshot, build_snapshot)
    if b"Direct configuration=" in head or name.startswith("XDATCAR"):
        return FrameFormat(vasp.cut_xdatcar, vasp.build_configuration, vasp.build_configuration)
    if name.startswith("OUTCAR"):
        return FrameFormat(vasp.cut_outcar, vasp.build_step, vasp.build_step)
    if is_run(path):
        return FrameFormat(vasp.cut_vasprun, vasp.build_cell, vasp.build_labelled)
    if name.lower().endswith((".xyz", ".extxyz")) or _is_xyz(name, head):
        return FrameFormat(extxyz.cut, extxyz.build_cell, extxyz.build_labelled)
    format_name = ase_formats.name_of(path, name)
    if format_name == ase_formats.TRAJECTORY:
        build = ase_formats.build_from_trajectory
        return FrameFormat(ase_formats.cut_trajectory, build, build)
    cut = partial(ase_formats.cut, format_name=format_name)
    return FrameFormat(cut, ase_formats.build, ase_formats.build)


def plain_name(path: Path) -> str:
    """Return a file's name without the ending of its compression."""
    name = path.name
    for ending in ENDINGS:
        if name.lower().endswith(ending):
            return name[: -len(ending)]
    return name


def _head(path: Path) -> bytes:
    """Read the first bytes of a file, fewer if it is damaged there."""
    head = b""
    try:
        with open_binary(path) as stream:
            while len(head) < _HEAD_BYTES and (piece := stream.read(_PIECE)):
                head += piece
    except DAMAGE as err:
        if is_machine_fault(err) or not head:
            raise ValueError(f"{path} is damaged: {err}") from err
    return head


def _is_xyz(name: str, head: bytes) -> bool:
    """Return whether a file without a telling name begins like extended XYZ."""
    return "." not in name and _COUNT.match(head) is not None and b"Lattice=" in head
