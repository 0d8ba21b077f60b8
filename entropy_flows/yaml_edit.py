"""Change one line of a YAML file that people write, and leave all others as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from entropy_flows.files import whole_file
from entropy_flows.yaml_text import parse_yaml, read_yaml


def set_line(path: Path, key: str, value: str, after: str) -> None:
    """Set a key of a file's mapping to a text: its line is changed, or a new one written.

    Parameters
    ----------
    path
        The file. Comments, order and all other lines stay.
    key, value
        The key, and the text that it is to have.
    after
        Key behind whose lines a new one comes.

    Raises
    ------
    ValueError
        If the file is none that can be changed in one line; the message has the line to write.
    """
    before = read_yaml(path)
    text = path.read_bytes().decode("utf-8")
    changed = with_line(text, key, value, after)
    if changed is None or _parsed(changed) != {**before, key: value}:
        raise ValueError(f"{path} cannot be changed in one line; write there: {key}: {value}")
    # a link stays one
    with whole_file(path.resolve()) as file:
        file.write(changed.encode("utf-8"))


def with_line(text: str, key: str, value: str, after: str) -> str | None:
    """Return a text with one line changed or added; None if its lines do not allow it."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode):
        return None
    nodes = {name.value: node for name, node in root.value}
    if key in nodes:
        node = nodes[key]
        if not isinstance(node, yaml.ScalarNode) or node.start_mark.line != node.end_mark.line:
            return None
        start = node.start_mark.index
        space = "" if text[start - 1].isspace() else " "
        return f"{text[:start]}{space}{value}{text[node.end_mark.index :]}"
    if after not in nodes:
        return None
    line_end = text.find("\n", _end(nodes[after]))
    newline = "\r\n" if "\r\n" in text else "\n"
    if line_end < 0:
        return f"{text}{newline}{key}: {value}{newline}"
    return f"{text[: line_end + 1]}{key}: {value}{newline}{text[line_end + 1 :]}"


def _end(node: yaml.Node) -> int:
    """Return where the last text of a node ends: a mapping's own end lies behind what follows."""
    while isinstance(node, yaml.CollectionNode) and node.value and not node.flow_style:
        last: Any = node.value[-1]
        node = last[1] if isinstance(last, tuple) else last
    return int(node.end_mark.index)


def _parsed(text: str) -> Any:
    try:
        return parse_yaml(text)
    except ValueError:
        return None
