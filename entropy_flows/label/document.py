"""Values in task documents, be they objects, dictionaries, or what a database made of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_SUCCESS = frozenset(["successful", "success", "completed", "true", "1"])


def value_at(doc: Any, *path: str | int) -> Any:
    """Return the value at the end of a path of attributes, keys and indices; None where it stops.

    Parameters
    ----------
    doc
        An object, a mapping or a sequence.
    *path
        Names and indices, one after the other; an index beyond the end stops there.

    Returns
    -------
    Any
        The value, or None.
    """
    for step in path:
        if doc is None:
            return None
        if isinstance(step, int):
            has_index = isinstance(doc, (list, tuple)) and -len(doc) <= step < len(doc)
            doc = doc[step] if has_index else None
        else:
            doc = doc.get(step) if isinstance(doc, Mapping) else getattr(doc, step, None)
    return doc


def is_vasp_task(doc: Any) -> bool:
    """Return whether a task document is of a run of VASP."""
    return value_at(doc, "calcs_reversed", 0, "vasp_version") is not None


def text_of(value: Any) -> str:
    """Return the plain text of an enum member, or of what the database made of it."""
    return str(value.get("value") if isinstance(value, Mapping) else getattr(value, "value", value))


def is_success(state: Any) -> bool:
    """Return whether a state says that a calculation went well; None says nothing against it."""
    if state is None or isinstance(state, bool):
        return state is not False
    # An enum's member may have become "TaskState.SUCCESS" on its way through a database.
    return text_of(state).rsplit(".", 1)[-1].strip().lower() in _SUCCESS
