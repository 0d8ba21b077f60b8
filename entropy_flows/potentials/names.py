"""Names of models: which family one belongs to, and keyword arguments that come with it.

A model with arguments, `{name: 7net-mf-0, modal: PBE}` in a campaign file, travels as one text, the
name and the arguments as JSON behind a question mark: `7net-mf-0?{"modal": "PBE"}`.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator

from entropy_flows.spelling import did_you_mean
from entropy_flows.yaml_text import shortened

PACKAGE_SUFFIX = ".nequip.zip"
COMPILED_SUFFIX = ".nequip.pt2"
NEQUIP_NET = "nequip.net:"
CHECKPOINT_SUFFIX = ".pth"
"""Of SevenNet's checkpoints."""
SEVENNET = ("0", "0_11july2024", "0_11jul2024", "0_22may2024", "l3i5", "mf-0")
"""What comes inside SevenNet's wheel, by the part of its name behind `7net-` or `SevenNet-`."""


def split_model(model: str | Path) -> tuple[str, dict[str, Any]]:
    """A model's name or path, and its keyword arguments.

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
    """A model's name and its keyword arguments as one text, the same for the same arguments."""
    return f"{name}?{json.dumps(dict(arguments), sort_keys=True)}" if arguments else str(name)


def _as_text(given: Any) -> Any:
    """A campaign file's mapping as one text; anything else as it is."""
    if not isinstance(given, dict):
        return with_arguments(*split_model(given)) if isinstance(given, str) else given
    name = given.get("name")
    if not isinstance(name, str):
        raise ValueError(
            "expected a name, or a mapping with `name` and the model's keyword arguments"
        )
    try:
        return with_arguments(name, {key: value for key, value in given.items() if key != "name"})
    except TypeError:
        raise ValueError(
            f"the arguments of model {shortened(name)!r} must be plain values"
        ) from None


ModelName = Annotated[str, BeforeValidator(_as_text)]
"""In a campaign file: a name or path, or `{name: …}` with keyword arguments."""


def is_nequip(name: str) -> bool:
    """Whether a name is that of a NequIP or Allegro model."""
    return name.endswith((PACKAGE_SUFFIX, COMPILED_SUFFIX)) or name.startswith(NEQUIP_NET)


def is_sevennet(name: str) -> bool:
    """Whether a name is that of a model SevenNet knows, or of a checkpoint of it."""
    return name.endswith(CHECKPOINT_SUFFIX) or sevennet_key(name) is not None


def sevennet_key(name: str) -> str | None:
    """SevenNet's own name of a model, `7net-0`, in whatever way it is written; None for another family's.

    `SevenNet`, atomate2's name of the force field, is SevenNet-0.
    """
    lower = name.lower()
    if lower in ("sevennet", "7net"):
        return "7net-0"
    head, _, rest = lower.partition("-")
    return f"7net-{rest}" if head in ("sevennet", "7net") and rest and "." not in rest else None


def check_sevennet(name: str) -> None:
    """Refuse a name that SevenNet does not know; one beyond its wheel is looked for where SevenNet is installed.

    Raises
    ------
    ValueError
        Naming the closest known one.
    """
    key = sevennet_key(name)
    if (
        key is None
        or key.removeprefix("7net-") in SEVENNET
        or importlib.util.find_spec("sevenn") is None
    ):
        return
    from sevenn.util import get_available_pretrained_models

    known = get_available_pretrained_models()
    if key not in known:
        hint = did_you_mean(key, known) or f"; known: {', '.join(known)}"
        raise ValueError(f"SevenNet has no model '{shortened(name)}'{hint}")


def is_dotted(name: str) -> bool:
    """Whether a name is an import path: a class is capitalised, a file's suffix is not; functions need a module."""
    parts = name.split(".")
    if len(parts) < 2 or not all(part.isidentifier() for part in parts):
        return False
    return not parts[-1].islower() or importlib.util.find_spec(parts[0]) is not None
