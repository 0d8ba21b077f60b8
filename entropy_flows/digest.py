"""Digests of plain data, files and bytes: equal if and only if the content is.

    digest(x) = SHA-256 of x as JSON with sorted keys

JSON keeps every bit of a float (`repr` is exact) and tells 1 from 1.0 from "1". What a database
keeps beside JSON's types counts as the database keeps it: a date to the millisecond in UTC, bytes
by their own SHA-256.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def digest(content: Any, default: Callable[[Any], Any] | None = None) -> str:
    """Return the SHA-256 of plain data, in hex.

    Parameters
    ----------
    content
        Mappings with text as keys, sequences, texts, numbers, None, dates, bytes.
    default
        Function that returns plain data for any other value; None refuses it.

    Raises
    ------
    TypeError
        If the content is not plain and there is no `default`.
    """
    text = json.dumps(content, sort_keys=True, default=default or _plain)
    return bytes_sha256(text.encode())


def file_sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file's bytes, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def bytes_sha256(content: bytes | Iterable[bytes]) -> str:
    """Return the SHA-256 of bytes, or of several strings of bytes one after the other, in hex."""
    checksum = hashlib.sha256()
    chunks = [content] if isinstance(content, bytes) else content
    for chunk in chunks:
        checksum.update(chunk)
    return checksum.hexdigest()


def _plain(value: Any) -> Any:
    """Return a date or bytes as JSON."""
    if isinstance(value, datetime):
        utc = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        return {"$date": utc.isoformat(timespec="milliseconds")}
    if isinstance(value, bytes):
        return {"$sha256": bytes_sha256(value)}
    if type(value).__name__ == "ObjectId":
        return {"$oid": str(value)}
    raise TypeError(f"{type(value).__name__} is no plain data")
