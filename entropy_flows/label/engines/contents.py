"""Parts of the hash input of engines: versions of packages, and files by what is in them."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from entropy_flows.digest import file_sha256

_MAX_PATH = 1024  # longer strings are no paths, and the system refuses to look


def paths_replaced(value: Any) -> Any:
    """Replace paths of files by SHA-256 of their content: a model is its weights, wherever it lies.

    Parameters
    ----------
    value
        Mappings and lists of plain values, as deep as they are.

    Returns
    -------
    Any
        The same, without versions of classes ("@version").
    """
    if isinstance(value, dict):
        return {str(k): paths_replaced(v) for k, v in value.items() if k != "@version"}
    if isinstance(value, (list, tuple)):
        return [paths_replaced(item) for item in value]
    if isinstance(value, (str, Path)) and len(str(value)) < _MAX_PATH and Path(value).is_file():
        return file_sha256(Path(value))
    return value


def package_version(package: str) -> str | None:
    """Return the version of an installed package, or None if there is no such package."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
