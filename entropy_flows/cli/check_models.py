"""What `entropy-flows check` says of a campaign's models, without loading one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from entropy_flows.digest import file_sha256
from entropy_flows.potentials.names import sevennet_key, split_model, with_arguments

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobflow import Maker

LATEST = {"7net-0_11july2024": "7net-0", "7net-0_11jul2024": "7net-0"}
"""SevenNet's dated names of a model that another name stands for, too."""


def teacher_warnings(models: Mapping[str, str], maker: Maker) -> list[str]:
    """Warn of a model that is the label engine: its labels are its own, so a training can only make it worse.

    Parameters
    ----------
    models
        Role (base_model, student) → name, or path of its file.
    maker
        The label engine's static Maker.

    Returns
    -------
    list of str
        A line for each such model.
    """
    engine = {identity(name) for name in _engine_models(maker)}
    return [
        f"{role} {Path(split_model(name)[0]).name} is the label engine, too: its errors against its own labels are "
        f"zero, and fine-tuning can only make them larger. Give another engine under `label`, or another model"
        for role, name in models.items()
        if identity(name) in engine
    ]


def identity(model: str) -> str:
    """What tells a model from others: the SHA-256 of its file or its name in one spelling, and its arguments."""
    name, arguments = split_model(model)
    path = Path(name)
    key = sevennet_key(name) or name.lower()
    plain = file_sha256(path) if path.is_file() else LATEST.get(key, key)
    return with_arguments(plain, arguments)


def _engine_models(maker: Any) -> list[str]:
    """Names and files of the model in a force field's Maker; none of any other engine."""
    meta = getattr(maker, "calculator_meta", None)
    if meta is None:
        return []
    arguments = dict(maker.calculator_kwargs)
    files = [
        str(value)
        for value in arguments.values()
        if isinstance(value, (str, Path)) and Path(value).is_file()
    ]
    if files:
        return files
    name = str(arguments.pop("model", getattr(meta, "value", meta)))
    plain = {
        key: value for key, value in arguments.items() if isinstance(value, (str, int, float, bool))
    }
    return [with_arguments(name, plain)]
