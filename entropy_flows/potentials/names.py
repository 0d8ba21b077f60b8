"""Names of models as one text, with the keyword arguments that come with them.

A model with arguments, `{name: 7net-mf-0, modal: PBE}` in a campaign file, travels as one text, the
name and the arguments as JSON behind a question mark: `7net-mf-0?{"modal": "PBE"}`. The argument
`family` names the family of a model whose name does not tell it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator

from entropy_flows.yaml_text import shortened


def split_model(model: str | Path) -> tuple[str, dict[str, Any]]:
    """Split a model's text into its name or path and its keyword arguments.

    Raises
    ------
    ValueError
        If what stands behind the name is not JSON.
    """
    name, mark, text = str(model).partition("?{")
    if not mark:
        return name, {}
    try:
        return name, json.loads("{" + text)
    except ValueError:
        raise ValueError(
            f"model {shortened(name)!r} has arguments that are not JSON: {{{shortened(text)}"
        ) from None


def with_arguments(name: str | Path, arguments: Mapping[str, Any]) -> str:
    """Join a model's name and its keyword arguments; equal arguments give equal texts."""
    return f"{name}?{json.dumps(dict(arguments), sort_keys=True)}" if arguments else str(name)


def _as_text(value: Any) -> Any:
    """Write a campaign file's mapping as one text, and leave anything else as it is."""
    if isinstance(value, str):
        return with_arguments(*split_model(value))
    if not isinstance(value, dict):
        return value
    name = value.get("name")
    if not isinstance(name, str):
        raise ValueError(
            "expected a name, or a mapping with `name` and the model's keyword arguments"
        )
    arguments = {key: argument for key, argument in value.items() if key != "name"}
    try:
        return with_arguments(name, arguments)
    except TypeError:
        raise ValueError(
            f"the arguments of model {shortened(name)!r} must be plain values"
        ) from None


ModelName = Annotated[str, BeforeValidator(_as_text)]
"""In a campaign file: a name or path, or `{name: …}` with keyword arguments."""


def existing_file(name: str | Path) -> Path:
    """Return the absolute path of a model's file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    """
    path = Path(name).expanduser().resolve()
    if not path.is_file():
        raise FileNotFoundError(f"model file {path} does not exist")
    return path
