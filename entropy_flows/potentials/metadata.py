"""The elements of a model, read without loading it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from entropy_flows.potentials.families import match_model
from entropy_flows.potentials.names import split_model


def model_elements(model: str | Path) -> tuple[str, ...] | None:
    """Read the elements that a model was made for from its file.

    Parameters
    ----------
    model
        A model's name.

    Returns
    -------
    tuple of str or None
        Chemical symbols in the model's own order. None when the name does not tell (a foundation
        model covers most elements), or the model's type names are not elements.

    Raises
    ------
    ValueError
        If the file is not of the kind that its name says, or the model needs another modality.
    """
    match = match_model(model)
    return None if match is None else match.family.elements(match.name, match.arguments)


def check_elements(model: str | Path, elements: Iterable[str], role: str) -> None:
    """Refuse a model that lacks an element it is to be used for, if its file tells its elements.

    Raises
    ------
    ValueError
        Naming what the model is for, the elements it lacks and those it has.
    """
    available = model_elements(model)
    if available is None:
        return
    missing = sorted(set(elements) - set(available))
    if missing:
        name = Path(split_model(model)[0]).name
        raise ValueError(
            f"{role} {name} does not know {', '.join(missing)} (it knows {', '.join(available)})"
        )
