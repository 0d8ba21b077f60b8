"""Find the files that sources name: files, folders, and patterns such as runs/*/XDATCAR."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

_ENDING = r"(\.(gz|bz2|xz|zst))?"
_TRAJECTORY = re.compile(r".+\.((ext)?xyz|traj|dump|lammpstrj)" + _ENDING, re.IGNORECASE)
_DUMP = re.compile(r"dump\..+", re.IGNORECASE)
_OF_VASP = (
    re.compile(r"vasprun.*\.xml" + _ENDING, re.IGNORECASE),
    re.compile(r"OUTCAR.*"),
    re.compile(r"XDATCAR.*"),
)
"""Files of one run of VASP that hold the same frames, the most telling first."""


def locate_files(sources: Iterable[str | Path]) -> list[Path]:
    """Find the files of sources, each once, in the order of the sources.

    Parameters
    ----------
    sources
        Files; folders, which are searched with everything below them; patterns with `*`, `?`,
        `[…]` and `**`.

    Returns
    -------
    list
        Files. Those of a folder or a pattern are in order of their names, with numbers counted:
        run2 comes before run10.

    Raises
    ------
    ValueError
        If there is no such file, or none that can have frames.
    """
    files: dict[str, Path] = {}
    for source in sources:
        for path in _files_of(str(source)):
            files.setdefault(os.path.realpath(path), path)
    return list(files.values())


def _files_of(source: str) -> list[Path]:
    path = Path(source).expanduser()
    if path.is_file():
        return [path]
    if path.is_dir():
        return _files_below(path)
    if not glob.has_magic(source):
        raise ValueError(f"{source} does not exist; expected a file, a folder or a pattern")
    matches = sorted(map(Path, glob.glob(str(path), recursive=True)), key=_by_number)
    files = [match for match in matches if match.is_file()]
    for folder in (match for match in matches if match.is_dir() and not files):
        files += _files_below(folder)
    if not files:
        raise ValueError(f"{source} matches no file")
    return files


def _files_below(folder: Path) -> list[Path]:
    """Find the files of a folder that can have frames, behind links, too."""
    files: list[Path] = []
    walked: set[str] = set()
    for top, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(top)
        if real in walked:  # a link back to where it came from
            folders.clear()
            continue
        walked.add(real)
        files += (Path(top, name) for name in _with_frames(names))
    if not files:
        raise ValueError(
            f"{folder} has no .extxyz, .xyz, .traj, .dump or .lammpstrj, no vasprun.xml, OUTCAR or "
            f"XDATCAR, nor is there one below it; a pattern takes files of other names"
        )
    return sorted(files, key=_by_number)


def _with_frames(names: Sequence[str]) -> Iterator[str]:
    """Yield the names of one folder that can have frames, one file for each run of VASP."""
    visible = [name for name in names if not name.startswith(".")]
    yield from (name for name in visible if _TRAJECTORY.fullmatch(name) or _DUMP.fullmatch(name))
    for pattern in _OF_VASP:
        matches = [name for name in visible if pattern.fullmatch(name)]
        if matches:
            yield from matches
            return


def _by_number(path: Path) -> list[tuple[int, int | str]]:
    """Sort key of a path in which run2 comes before run10."""
    words = re.split(r"(\d+)", str(path))
    return [(0, int(word)) if word.isdigit() else (1, word) for word in words]
