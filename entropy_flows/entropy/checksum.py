"""Stored statistics: a header, numbers, and a SHA-256 of both behind them."""

from __future__ import annotations

import hashlib
import struct

_LENGTH = hashlib.sha256().digest_size


def with_checksum(payload: bytes) -> bytes:
    """Return bytes with their SHA-256 behind them."""
    return payload + hashlib.sha256(payload).digest()


def checksum_of(data: bytes) -> str:
    """Return the SHA-256 behind the bytes of `with_checksum`, in hex."""
    return data[-_LENGTH:].hex()


def checked_payload(data: bytes, header: struct.Struct, magic: bytes, content: str) -> bytes:
    """Return what was given to `with_checksum`.

    Parameters
    ----------
    data
        Bytes of `with_checksum`.
    header
        Layout of what they begin with.
    magic
        First four bytes of the header.
    content
        What the bytes are, in the plural, for messages.

    Raises
    ------
    ValueError
        If they are something else, or are damaged.
    """
    payload, digest = data[:-_LENGTH], data[-_LENGTH:]
    if len(payload) < header.size or payload[:4] != magic:
        raise ValueError(f"{len(data)} bytes that do not begin with {magic!r} are no {content}")
    if hashlib.sha256(payload).digest() != digest:
        raise ValueError(f"{content} are damaged: their checksum does not match")
    return payload
