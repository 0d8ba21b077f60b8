"""Frames of the other formats that ASE reads, .traj among them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ase import Atoms
from ase.io import iread
from ase.io.formats import UnknownFileTypeError, filetype, ioformats
from ase.io.trajectory import TrajectoryReader

from entropy_flows.label.compressed import ENDINGS, open_binary

TRAJECTORY = "traj"
_RUN_CODE = ("py", "pickletrajectory")
"""Formats whose reading runs what is in the file."""


def name_of(path: Path, plain_name: str) -> str:
    """Return ASE's name of a file's format.

    Parameters
    ----------
    path
        The file.
    plain_name
        Its name without the ending of a compression.

    Raises
    ------
    ValueError
        If ASE does not know it, or would run code to read it.
    """
    try:
        name = _name_of(path, plain_name)
    except (UnknownFileTypeError, OSError) as err:
        raise ValueError(f"{path} is of no format that ASE knows: {err}") from None
    if name in _RUN_CODE:
        raise ValueError(f"{path} is of ASE's format {name}, which runs code; it is not read")
    if name not in ioformats or not ioformats[name].can_read:
        raise ValueError(f"{path} is of no format that ASE reads")
    return name


def _name_of(path: Path, plain_name: str) -> str:
    is_compressed = plain_name != path.name
    if not is_compressed:
        return filetype(str(path))
    return filetype(plain_name, read=False)


def cut(path: Path, format_name: str) -> Iterator[Atoms]:
    """Yield the cells of a file as ASE reads them."""
    with _plain_file(path) as plain:
        yield from iread(str(plain), index=":", format=format_name)


def build(atoms: Atoms) -> Atoms:
    """Return the cell as it is, without constraints."""
    atoms.set_constraint()
    return atoms


def cut_trajectory(path: Path) -> Iterator[tuple[TrajectoryReader, int]]:
    """Yield the numbers of an ASE trajectory's frames, with what reads them."""
    with _plain_file(path) as plain, TrajectoryReader(str(plain)) as trajectory:
        for index in range(len(trajectory)):
            yield trajectory, index


def build_from_trajectory(raw: tuple[TrajectoryReader, int]) -> Atoms:
    """Read one frame of an ASE trajectory."""
    trajectory, index = raw
    return build(trajectory[index])


@contextmanager
def _plain_file(path: Path) -> Iterator[Path]:
    """Yield the file itself, or an unpacked copy where it is compressed."""
    if not path.name.lower().endswith(ENDINGS):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="entropy-flows-") as folder:
        plain = Path(folder, path.name).with_suffix("")
        with open_binary(path) as packed, plain.open("wb") as unpacked:
            shutil.copyfileobj(packed, unpacked)
        yield plain
