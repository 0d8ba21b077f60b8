"""Files that may be compressed, told by their first bytes and not by their names."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, cast

_OPENERS: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
}
_ZSTD = b"\x28\xb5\x2f\xfd"
_NOT_HERE = {
    b"\x1f\x9d": "compress (.Z)",
    b"PK\x03\x04": "zip",
    b"7z\xbc\xaf": "7-zip",
    b"Rar!": "rar",
}
ENDINGS = (".gz", ".bz2", ".xz", ".zst")
"""How names of files end that can be read though compressed."""
DAMAGE = (OSError, EOFError, lzma.LZMAError, zlib.error)
"""What reading a damaged or cut compressed file ends in."""


def open_binary(path: Path) -> IO[bytes]:
    """Open a file for reading, through gzip, bzip2, xz or zstd where it is compressed by these.

    zstd needs the package `zstandard`.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    IO
        Its bytes as they were before compression.

    Raises
    ------
    ValueError
        If it is compressed in another way, or by zstd without that package.
    """
    with path.open("rb") as stream:
        head = stream.read(8)
    for magic, name in _NOT_HERE.items():
        if head.startswith(magic):
            raise ValueError(
                f"{path} is compressed by {name}; expected gzip, bzip2, xz, zstd or none"
            )
    if head.startswith(_ZSTD):
        return _open_zstd(path)
    for magic, opener in _OPENERS.items():
        if head.startswith(magic):
            return cast("IO[bytes]", opener(path, "rb"))
    return path.open("rb")


def _open_zstd(path: Path) -> IO[bytes]:
    try:
        import zstandard
    except ImportError:
        raise ValueError(f"{path} is compressed by zstd; pip install zstandard") from None
    return cast("IO[bytes]", zstandard.open(path, "rb"))
