"""YAML that people write, read with limits: whatever is wrong is an error of one line, at once.

A file is plain values: text, numbers, true and false, null, lists and mappings with text as keys.
What YAML has beside (tags of programs' types, dates, sets), what MongoDB cannot hold (integers
beyond 64 bits), and what is larger than any file of settings is refused. Limits are looked at event
by event, before anything is built of them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

MAX_BYTES = 2**20
"""Largest file."""
MAX_DEPTH = 40
"""Deepest nesting of lists and mappings."""
MAX_VALUES = 100_000
"""Most values in a file, each alias counted as what it stands for."""
MAX_INTEGER = 2**63
_PLAIN = tuple(
    f"tag:yaml.org,2002:{name}"
    for name in ("str", "int", "float", "bool", "null", "seq", "map", "merge")
)


class _Loader(yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader):  # type: ignore[misc]
    """The safe loader, for plain values only and each key once."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        if node.tag not in _PLAIN:
            raise ValueError(
                f"line {_line(node)}: {_kind(node)} is not taken; expected plain values"
            )
        if not isinstance(node, yaml.ScalarNode):
            return super().construct_object(node, deep)
        try:
            value = super().construct_object(node, deep)
        except (ValueError, KeyError):  # thousands of digits, or a tag that does not fit
            kind = node.tag.rpartition(":")[2]
            raise ValueError(
                f"line {_line(node)}: '{shortened(node.value, 30)}' cannot be read as {kind}"
            ) from None
        _check_scalar(value, node)
        return value

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[str, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                continue
            if not isinstance(key, yaml.ScalarNode) or key.tag != "tag:yaml.org,2002:str":
                shown = (
                    shortened(key.value)
                    if isinstance(key, yaml.ScalarNode)
                    else "of several values"
                )
                raise ValueError(f"line {_line(key)}: the key {shown} is no text; put it in quotes")
            if key.value in seen:
                raise ValueError(
                    f"line {_line(key)}: the key '{shortened(key.value)}' is given twice"
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> Any:
    """Read a YAML file.

    Raises
    ------
    ValueError
        In one line that names the file: if it is none, too large, not UTF-8, or not plain YAML.
    """
    if path.is_dir():
        raise ValueError(f"{path} is a folder, expected a YAML file")
    if not path.is_file():
        raise ValueError(
            f"{path} does not exist" if not path.exists() else f"{path} is no regular file"
        )
    size = path.stat().st_size
    if size > MAX_BYTES:
        limit = MAX_BYTES / 2**20
        raise ValueError(
            f"{path} has {size / 2**20:.1f} MiB; a file of settings has at most {limit:.0f}"
        )
    try:
        data = path.read_bytes()
    except OSError as err:
        raise ValueError(f"{path} cannot be read: {err.strerror}") from None
    try:
        return parse_yaml(_decoded(data))
    except ValueError as err:
        raise ValueError(f"{path} is not valid YAML: {err}") from None


def parse_yaml(text: str) -> Any:
    """Parse a text in YAML, such as an option's.

    Raises
    ------
    ValueError
        In one line: what is wrong, and in which line; nothing of the text but the name of a key or
        a tag is shown.
    """
    if len(text) > MAX_BYTES:
        raise ValueError(f"it has {len(text)} characters; at most {MAX_BYTES} are taken")
    try:
        _check_size(yaml.parse(text, Loader=_Loader))
        return _Loader(text).get_single_data()
    except yaml.MarkedYAMLError as err:
        mark = err.problem_mark or err.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        message = ", ".join(text for text in (err.context, err.problem) if text)
        raise ValueError(f"{where}{shortened(message, 200)}") from None
    except yaml.reader.ReaderError as err:
        raise ValueError(
            f"character {err.position + 1}: a control character, which no text has"
        ) from None
    except yaml.YAMLError as err:
        raise ValueError(shortened(str(err), 200)) from None


def parse_option(name: str, text: str) -> Any:
    """Parse the value of a command's option; a ValueError names the option."""
    try:
        return parse_yaml(text)
    except ValueError as err:
        raise ValueError(f"{name} {shortened(text)}: {err}") from None


def shortened(text: str, limit: int = 60) -> str:
    """Return a text in one line that can be printed, cut off at a number of characters."""
    line = "".join(
        c if c.isprintable() else f"\\x{ord(c):02x}" for c in " ".join(text[: 4 * limit].split())
    )
    return line if len(line) <= limit and len(text) <= 4 * limit else f"{line[:limit]}…"


def _decoded(data: bytes) -> str:
    """Decode UTF-8, with or without its mark at the beginning."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in data[:4096]:
        raise ValueError("it is UTF-16 or no text; save it as UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as err:
        line = data.count(b"\n", 0, err.start) + 1
        raise ValueError(
            f"line {line}: byte 0x{data[err.start]:02x} is not UTF-8; save the file as UTF-8"
        ) from None


def _check_size(events: Iterator[yaml.Event]) -> None:
    """Refuse what is nested too deeply, or stands for too many values.

    Neither recursion nor memory grows with what is refused.
    """
    sizes: dict[str, int] = {}
    stack: list[tuple[str | None, int]] = []
    count = 0
    for event in events:
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, before = stack.pop()
            if anchor is not None:
                sizes[anchor] = count - before
            continue
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                name = shortened(str(event.anchor))
                raise ValueError(
                    f"line {_line(event)}: the alias *{name} stands for itself or nothing"
                )
            count += sizes[event.anchor]
        elif isinstance(event, yaml.NodeEvent):
            count += 1
            if isinstance(event, yaml.CollectionStartEvent):
                stack.append((event.anchor, count - 1))
            elif event.anchor is not None:
                sizes[event.anchor] = 1
        if len(stack) > MAX_DEPTH:
            raise ValueError(
                f"line {_line(event)}: more than {MAX_DEPTH} lists or mappings within one another"
            )
        if count > MAX_VALUES:
            raise ValueError(f"line {_line(event)}: more than {MAX_VALUES} values, aliases counted")


def _check_scalar(value: Any, node: yaml.ScalarNode) -> None:
    """Refuse numbers and texts that a database or a calculation cannot hold."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"line {_line(node)}: {shortened(node.value)} is no finite number")
    if isinstance(value, int) and not -MAX_INTEGER <= value < MAX_INTEGER:
        raise ValueError(
            f"line {_line(node)}: the integer {shortened(node.value, 30)} is beyond 64 bits"
        )
    if isinstance(value, str) and re.search("[\0\ud800-\udfff]", value):
        raise ValueError(
            f"line {_line(node)}: '{shortened(value)}' has a character that no text has"
        )


def _kind(node: yaml.Node) -> str:
    """Return what YAML takes a value for."""
    name = node.tag.removeprefix("tag:yaml.org,2002:")
    if name == "timestamp" and isinstance(node, yaml.ScalarNode):
        return f"the date {shortened(node.value)} (without quotes)"
    return f"the tag '{shortened(name)}'"


def _line(marked: Any) -> int:
    return int(marked.start_mark.line) + 1
