"""Paths of `explore.source` and `select.target`, which begin at the campaign file's folder."""

from __future__ import annotations

from collections.abc import Iterator
from os.path import normpath
from pathlib import Path, PurePath
from typing import Any

from entropy_flows.select.targets import PLAIN, POOL


def with_source_paths(data: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return a campaign file's keys with absolute paths in `explore.source` and `select.target`.

    Workers run elsewhere, and have the settings alone.

    Parameters
    ----------
    data
        Content of the file.
    folder
        Folder of the file.

    Raises
    ------
    ValueError
        If a path leaves the folder without being absolute.
    """
    changed = _with_paths(data, folder)
    iterations = data.get("iterations")
    if isinstance(iterations, list):
        changed["iterations"] = [
            _with_paths(item, folder) if isinstance(item, dict) else item for item in iterations
        ]
    return changed


def _with_paths(section: dict[str, Any], folder: Path) -> dict[str, Any]:
    changed = dict(section)
    explore = section.get("explore")
    if isinstance(explore, dict) and isinstance(explore.get("source"), list):
        paths = list(_absolute(explore["source"], folder, "explore.source"))
        changed["explore"] = {**explore, "source": paths}
    select = section.get("select")
    if isinstance(select, dict) and select.get("target") not in (None, "", PLAIN, POOL):
        (path,) = _absolute([select["target"]], folder, "select.target")
        changed["select"] = {**select, "target": path}
    return changed


def _absolute(paths: list[Any], folder: Path, key: str) -> Iterator[Any]:
    for path in paths:
        if not isinstance(path, str):
            yield path  # refused by the schema, which says where
            continue
        expanded = Path(path).expanduser()
        if not expanded.is_absolute() and PurePath(normpath(path)).parts[:1] == ("..",):
            raise ValueError(
                f"{key} {path} leaves the folder of the campaign file; give its absolute "
                f"path if that is meant"
            )
        yield str(Path(normpath(folder.absolute() / expanded)))
