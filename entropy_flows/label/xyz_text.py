"""Extended XYZ as text: its lines, its frames, and the keys and values of a comment line.

A frame begins with a line that is a whole number and nothing else, so that a damaged one ends
before the next:

    2                                                            number of atoms
    Lattice="…" Properties=species:S:1:pos:R:3 energy=-43.1      comment line: keys and values
    Si 0.0 0.0 0.0                                               one line for each atom
    Si 1.4 1.4 1.4
"""

from __future__ import annotations

import codecs
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from entropy_flows.conventions import Array
from entropy_flows.faults import is_machine_fault
from entropy_flows.label.compressed import DAMAGE, open_binary

_HEAD_BYTES = 1024
_COUNT = re.compile(r"\s*[+-]?\d+\s*")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eEdD][+-]?\d+)?")
_NOT_FINITE = re.compile(r"[+-]?(?:nan|inf|infinity)", re.IGNORECASE)
_CLOSING = {'"': '"', "'": "'", "{": "}", "[": "]"}
_LOGICAL = {"T": True, "true": True, "True": True, "TRUE": True}
_LOGICAL |= {"F": False, "false": False, "False": False, "FALSE": False}
_QUOTED_LENGTH = 40


class FrameError(ValueError):
    """One frame of a file cannot be used; the others can."""


def quoted(text: str) -> str:
    """Return a file's text as an error shows it: in quotes, no longer than 40 characters."""
    text = " ".join(text.split())
    return repr(text if len(text) <= _QUOTED_LENGTH else text[:_QUOTED_LENGTH] + "…")


def raw_frames(path: Path) -> Iterator[list[str] | FrameError]:
    """Read the lines of each frame of a file, whatever is in them.

    Parameters
    ----------
    path
        Text, as it is or compressed by gzip, bzip2 or xz, with or without a byte order mark.

    Yields
    ------
    list or FrameError
        A frame's lines, of which the first should be its number of atoms. In place of the last
        frame of a compressed file that is cut off or damaged, an error that says so.

    Raises
    ------
    ValueError
        If the file is empty, no text, compressed by another program, or has no frame at all.
    """
    count = 0
    frame: list[str] = []
    try:
        for line in _lines(path):
            if _COUNT.fullmatch(line) and not (len(frame) == 1 and _COUNT.fullmatch(frame[0])):
                if frame:
                    yield frame
                    count += 1
                frame = [line]
            elif line.strip() or len(frame) == 1:  # a comment line may be blank
                frame.append(line)
    except DAMAGE as err:
        if is_machine_fault(err):
            raise
        yield FrameError(f"the file is damaged or cut off here: {err}")
        return
    if not count and not frame:
        raise ValueError(f"{path} is empty; expected extended XYZ")
    if not count and not _COUNT.fullmatch(frame[0]):
        raise ValueError(
            f"{path} is not extended XYZ: expected a number of atoms, got {quoted(frame[0])}"
        )
    yield frame


def _lines(path: Path) -> Iterator[str]:
    """Read the lines of a text file; bytes that are not UTF-8 are taken for Latin-1."""
    with open_binary(path) as stream:
        head = stream.read(_HEAD_BYTES)
    is_utf16 = head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    if b"\0" in head and not is_utf16:
        raise ValueError(f"{path} is not text: there is a zero byte among its first {_HEAD_BYTES}")
    encoding = "utf-16" if is_utf16 else "utf-8-sig"
    with open_binary(path) as stream:
        yield from io.TextIOWrapper(stream, encoding=encoding, errors="entropy_flows.latin1")


def _as_latin1(error: UnicodeError) -> tuple[str, int]:
    """Decode what another encoding left over, as older programs write names and comments."""
    assert isinstance(error, UnicodeDecodeError)
    return error.object[error.start : error.end].decode("latin-1"), error.end


codecs.register_error("entropy_flows.latin1", _as_latin1)


def key_values(comment: str) -> list[tuple[str, str]]:
    """Return keys and values of a comment line in their order, values as text.

    Values may stand in double or single quotes, braces or brackets, with a backslash before a quote
    in them. A key alone has the value "T".

    Raises
    ------
    FrameError
        If a quote or bracket is not closed.
    """
    pairs = []
    position = 0
    while match := re.compile(r"\s*").match(comment, position):
        position = match.end()
        if position == len(comment):
            break
        key, position = _token(comment, position, "=")
        equals = re.compile(r"\s*=\s*").match(comment, position)
        value = "T"
        if equals:
            value, position = _token(comment, equals.end(), "")
        if key:
            pairs.append((key, value))
    return pairs


def _token(text: str, start: int, stops: str) -> tuple[str, int]:
    """Return one key or value, without its quotes, and where it ends."""
    if start < len(text) and text[start] in _CLOSING:
        return _quoted_token(text, start)
    end = start
    while end < len(text) and not text[end].isspace() and text[end] not in stops:
        end += 1
    return text[start:end], end


def _quoted_token(text: str, start: int) -> tuple[str, int]:
    """Return the text between quotes or brackets, which may be nested."""
    opening = text[start]
    closing = _CLOSING[opening]
    depth = 1
    characters = []
    position = start + 1
    while position < len(text):
        character = text[position]
        if character == "\\" and position + 1 < len(text):
            characters.append(text[position + 1])
            position += 2
            continue
        depth += (character == opening != closing) - (character == closing)
        if depth == 0:
            return "".join(characters), position + 1
        characters.append(character)
        position += 1
    raise FrameError(f"the comment line has {opening} without {closing}: {quoted(text[start:])}")


def as_float(text: str) -> float:
    """Return the number of a text, also with Fortran's exponents; nan for anything else."""
    if _NUMBER.fullmatch(text):
        return float(text.replace("D", "e").replace("d", "e"))
    return float(text) if _NOT_FINITE.fullmatch(text) else float("nan")


def is_number(text: str) -> bool:
    """Return whether a text is a finite number, maybe with a Fortran exponent."""
    return bool(_NUMBER.fullmatch(text)) and bool(np.isfinite(as_float(text)))


def floats(column: np.ndarray | None, name: str, shape: tuple[int, int]) -> Array:
    """Return the numbers of a column's texts.

    Parameters
    ----------
    column
        Texts (n_atoms, k), or None if there is no such column.
    name
        Of the column, for errors.
    shape
        What its shape has to be.

    Raises
    ------
    FrameError
        If it is not there, has another shape, or a text is not a finite number.
    """
    if column is None or column.shape != shape:
        width = 0 if column is None else column.shape[1]
        raise FrameError(f"{name} has {width} columns, expected {shape[1]}")
    try:
        numbers = column.astype(float)
    except ValueError:  # Fortran's exponents, or no number at all
        numbers = np.array([[as_float(text) for text in row] for row in column])
    finite = np.isfinite(numbers)
    if not finite.all():
        atom, component = np.argwhere(~finite)[0]
        raise FrameError(
            f"{name} of atom {atom} is {quoted(column[atom, component])}; a finite number is needed"
        )
    return numbers


def typed(text: str) -> Any:
    """Return the value of a comment line's text, as ASE reads it."""
    if text.startswith("_JSON "):
        try:
            return json.loads(text.removeprefix("_JSON "))
        except ValueError:
            return text
    words = re.findall(r"[^\s,]+", text)
    if not words:
        return text
    values: Any
    if all(word in _LOGICAL for word in words):
        values = [_LOGICAL[word] for word in words]
    elif all(re.fullmatch(r"[+-]?\d{1,18}", word) for word in words):
        values = np.array([int(word) for word in words])
    elif all(_NUMBER.fullmatch(word) or _NOT_FINITE.fullmatch(word) for word in words):
        values = np.array([as_float(word) for word in words])
    else:
        return text
    return values if len(words) > 1 else values[0] if isinstance(values, list) else values[0].item()
