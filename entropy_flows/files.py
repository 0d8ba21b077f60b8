"""Files that are whole or not there at all, whenever a process is killed."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

UNFINISHED = ".part-"
"""How the name of what is still being written begins."""


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; what is written there takes the path's place.

    Nothing is replaced if the block ends with an error. Several processes may write the same path
    at once, each by a name of its own: the last to end stays.

    Parameters
    ----------
    path
        The file to be written. It may also be a folder, where none is yet.
    """
    temporary = path.with_name(f"{UNFINISHED}{uuid.uuid4().hex[:8]}-{path.name}")
    try:
        yield temporary
        # os.replace puts no folder in a file's place
        if temporary.is_dir() and path.is_file():
            path.unlink()
        os.replace(temporary, path)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file to write; when the block ends without an error it is on the disk, else as it was.

    Parameters
    ----------
    path
        The file, in a folder that exists.
    """
    with replacing(path) as temporary, temporary.open("wb") as file:
        yield file
        # a machine that loses its power keeps a name without its bytes otherwise
        file.flush()
        os.fsync(file.fileno())


def append_text(path: Path, text: str) -> None:
    """Append to a file by one write, so that a process that is killed leaves no part of it."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def read_json(path: Path, default: Any) -> Any:
    """Return the content of a JSON file, or a default if there is none."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return default


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file, all of it or nothing."""
    with whole_file(path) as file:
        file.write(json.dumps(content, indent=1).encode())


def delete_unfinished(folder: Path) -> None:
    """Delete what processes that were killed had not finished writing in a folder."""
    for path in folder.glob(f"{UNFINISHED}*"):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
