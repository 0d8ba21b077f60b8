"""Messages between a job and the process that holds its model, of one version and typed.

A message is a prefix, a header and arrays, one after the other on a stream of bytes:

    prefix   "EFLW", version (uint16), bytes of the header (uint32), bytes of the arrays (uint64)
    header   JSON: {"kind": …, "fields": {…}, "arrays": [[name, dtype, shape], …]}
    arrays   their bytes, little-endian and C-contiguous, in the header's order

`KINDS` says which fields and arrays a message has, and of which types. Nothing is unpickled or
evaluated: what does not fit is a `WireError`. This file is run by both sides, so that it imports
nothing but the standard library and numpy.
"""

from __future__ import annotations

import json
import math
import socket
import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np

MAGIC = b"EFLW"
VERSION = 1
PREFIX = struct.Struct("<4sHIQ")
MAX_HEADER = 2**22
"""Bytes of a header: the versions of all packages of an environment take 10 kB."""
MAX_ARRAYS = 2**34
"""Bytes of the arrays of one message: 16 GiB are 400 million neighbour pairs."""
NUMBER = (int, float)
NONE = type(None)


@dataclass(frozen=True)
class Kind:
    """The fields and arrays of one kind of message."""

    fields: dict[str, tuple[type, ...]] = field(default_factory=dict)
    """Name → types that its value may have."""
    arrays: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Name → dtype and number of dimensions."""
    optional: dict[str, tuple[str, int]] = field(default_factory=dict)
    """The same of arrays that may be missing."""


KINDS = {
    "hello": Kind({"python": (str,), "pid": (int,), "packages": (dict,)}),
    "load": Kind(
        {
            "number": (int,),
            "model": (int,),
            "adapter": (str,),
            "form": (str,),
            "name": (str,),
            "arguments": (dict,),
            "device": (str,),
            "threads": (int,),
        }
    ),
    "loaded": Kind(
        {"number": (int,), "cutoff": (*NUMBER, NONE), "elements": (list, NONE), "stress": (bool,)}
    ),
    "evaluate": Kind(
        {"number": (int,), "model": (int,), "stress": (bool,)},
        {
            "sizes": ("<i8", 1),
            "numbers": ("<i8", 1),
            "lattice": ("<f8", 3),
            "pbc": ("|b1", 2),
            "positions": ("<f8", 2),
        },
        {
            "centers": ("<i4", 1),
            "members": ("<i4", 1),
            "vectors": ("<f8", 2),
            "shifts": ("<i4", 2),
        },
    ),
    "result": Kind(
        {"number": (int,)}, {"energy": ("<f8", 1), "forces": ("<f8", 2)}, {"stress": ("<f8", 3)}
    ),
    "error": Kind({"number": (int,), "fault": (str,), "type": (str,), "message": (str,)}),
    "drop": Kind({"model": (int,)}),
}
"""All kinds of messages. The process answers `load` with `loaded`, `evaluate` with `result`, either
with `error`, and `drop` not at all; it begins with `hello`."""


class WireError(ValueError):
    """An error: what came is no message of this version."""


class ClosedError(EOFError):
    """The other side has gone."""


@dataclass(frozen=True)
class Message:
    """One message."""

    kind: str
    """A key of `KINDS`."""
    fields: dict[str, Any] = field(default_factory=dict)
    """Plain values by name."""
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    """Arrays by name."""


def send(stream: socket.socket, message: Message) -> None:
    """Write a message.

    Raises
    ------
    WireError
        If it is not what its kind has to be.
    OSError
        If the other side has gone.
    """
    arrays = {name: _as_sent(message.kind, name, array) for name, array in message.arrays.items()}
    table = [[name, array.dtype.str, list(array.shape)] for name, array in arrays.items()]
    content = {"kind": message.kind, "fields": message.fields, "arrays": table}
    _check(content)
    header = json.dumps(content).encode()
    size = sum(array.nbytes for array in arrays.values())
    stream.sendall(PREFIX.pack(MAGIC, VERSION, len(header), size) + header)
    for array in arrays.values():
        if array.nbytes:
            stream.sendall(array.reshape(-1).view(np.uint8).data)


def receive(stream: socket.socket, *kinds: str) -> Message:
    """Read a message of one of several kinds.

    Raises
    ------
    WireError
        If what comes is anything else, saying what was expected and what came.
    ClosedError
        If the other side has gone.
    """
    prefix = _read(stream, PREFIX.size)
    magic, version, header_size, arrays_size = PREFIX.unpack(prefix)
    if magic != MAGIC:
        raise WireError(f"expected a message that begins with {MAGIC!r}, got {bytes(prefix)!r}")
    if version != VERSION:
        raise WireError(f"expected a message of version {VERSION}, got version {version}")
    if header_size > MAX_HEADER or arrays_size > MAX_ARRAYS:
        raise WireError(
            f"a message of {header_size} + {arrays_size} bytes; at most {MAX_HEADER} + "
            f"{MAX_ARRAYS} are expected"
        )
    try:
        content = json.loads(bytes(_read(stream, header_size)))
    except ValueError as error:
        raise WireError(f"a message's header is no JSON: {error}") from None
    _check(content)
    if content["kind"] not in kinds:
        raise WireError(f"expected a message {' or '.join(kinds)}, got {content['kind']}")
    sizes = [_bytes_of(dtype, shape) for _, dtype, shape in content["arrays"]]
    if sum(sizes) != arrays_size:
        raise WireError(f"{arrays_size} bytes of arrays; their shapes have {sum(sizes)}")
    arrays = {
        name: np.frombuffer(_read(stream, size), dtype).reshape(shape)
        for (name, dtype, shape), size in zip(content["arrays"], sizes)  # noqa: B905 (Python 3.9)
    }
    return Message(content["kind"], content["fields"], arrays)


def _read(stream: socket.socket, size: int) -> bytearray:
    """Read exactly so many bytes."""
    buffer = bytearray(size)
    view = memoryview(buffer)
    count = 0
    while count < size:
        received = stream.recv_into(view[count:])
        if not received:
            raise ClosedError("the other side has closed the connection")
        count += received
    return buffer


def _as_sent(kind: str, name: str, array: Any) -> np.ndarray:
    """Return an array in the dtype and order in which a message of a kind has it."""
    described = KINDS[kind].arrays.get(name) or KINDS[kind].optional.get(name)
    dtype = np.asarray(array).dtype.str if described is None else described[0]
    return np.ascontiguousarray(array, dtype=dtype)


def _bytes_of(dtype: str, shape: list[int]) -> int:
    return np.dtype(dtype).itemsize * math.prod(shape)


def _check(content: Any) -> None:
    """Refuse a header whose fields or arrays are not those of its kind."""
    if not isinstance(content, dict) or set(content) != {"kind", "fields", "arrays"}:
        raise WireError("a message's header has no kind, fields and arrays")
    kind, fields, arrays = content["kind"], content["fields"], content["arrays"]
    if not isinstance(kind, str) or kind not in KINDS:
        raise WireError(f"unknown kind of message {kind!r}; known: {', '.join(KINDS)}")
    _check_fields(kind, fields)
    _check_arrays(kind, arrays)


def _check_fields(kind: str, fields: Any) -> None:
    expected = KINDS[kind].fields
    if not isinstance(fields, dict) or set(fields) != set(expected):
        raise WireError(f"message {kind} has other fields than {', '.join(expected)}")
    for name, types in expected.items():
        value = fields[name]
        # a bool is an int to isinstance, and to nobody else
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            names = " or ".join(each.__name__ for each in types)
            raise WireError(f"{name} of message {kind} is {value!r}, expected {names}")


def _check_arrays(kind: str, arrays: Any) -> None:
    expected = {**KINDS[kind].arrays, **KINDS[kind].optional}
    if not isinstance(arrays, list) or not all(
        isinstance(each, list) and len(each) == 3 for each in arrays
    ):
        raise WireError(f"message {kind} has no table of arrays")
    names = [each[0] for each in arrays]
    missing = set(KINDS[kind].arrays) - set(names)
    if missing or len(set(names)) < len(names) or not set(names) <= set(expected):
        raise WireError(f"message {kind} has arrays {names}, expected {list(expected)}")
    for name, dtype, shape in arrays:
        is_shape = isinstance(shape, list) and all(
            isinstance(number, int) and number >= 0 for number in shape
        )
        if not is_shape or dtype != expected[name][0] or len(shape) != expected[name][1]:
            raise WireError(
                f"array {name} of message {kind} is {dtype} {shape}, expected {expected[name][0]} "
                f"of {expected[name][1]} dimensions"
            )
