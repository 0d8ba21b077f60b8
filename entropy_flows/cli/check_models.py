"""The warnings of `entropy-flows check` about a campaign's models; none is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from entropy_flows.digest import file_sha256
from entropy_flows.potentials import match_model, split_model, with_arguments
from entropy_flows.potentials.families import without_environment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from entropy_flows.label import Engine


def teacher_warnings(models: Mapping[str, str], engine: Engine) -> list[str]:
    """Warn of a model that is the label engine.

    The labels are its own then, so a training can only make it worse.

    Parameters
    ----------
    models
        Role (base_model, student) → name, or path of its file.
    engine
        The label engine.

    Returns
    -------
    list of str
        A line for each such model.
    """
    engines = {identity(name) for name in engine.models()}
    warnings = []
    for role, name in models.items():
        if identity(name) in engines:
            title = Path(split_model(name)[0]).name
            warnings.append(
                f"{role} {title} is the label engine, too: its errors against its own labels are "
                "zero, and fine-tuning can only make them larger. Give another engine under "
                "`label`, or another model"
            )
    return warnings


def identity(model: str) -> str:
    """Return the text that identifies a model: equal for equal models.

    It has the SHA-256 of its file, or its name in one spelling, and its arguments.
    """
    name, arguments = split_model(without_environment(model))
    if Path(name).is_file():
        return with_arguments(file_sha256(name), arguments)
    match = match_model(model)
    spelling = name.lower() if match is None else match.family.canonical_name(name)
    return with_arguments(spelling, arguments)
