"""Base class of every set of parameters: immutable, typed, and strict about names."""

from __future__ import annotations

import difflib
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, model_validator


class Params(BaseModel):
    """Parameters of one stage.

    A subclass is at once a Maker's field, a section of the campaign file and what the core function takes, so a
    parameter is named, typed and documented in one place.

    Raises
    ------
    pydantic.ValidationError
        For a value out of range, or for an unknown key, naming the closest known one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _suggest_known_keys(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        known = [field.alias or name for name, field in cls.model_fields.items()]
        data = {key: value for key, value in data.items() if not str(key).startswith("@")}  # monty's class tags
        for key in data:
            if key not in known and key not in cls.model_fields:
                close = difflib.get_close_matches(str(key), known, n=1, cutoff=0.5)
                hint = f"did you mean '{close[0]}'?" if close else f"known keys: {', '.join(known)}"
                raise ValueError(f"unknown key '{key}'; {hint}")
        return data

    def as_dict(self) -> dict[str, Any]:
        """MSON form: lets parameters travel as a Maker's field through jobflow and FireWorks."""
        cls = type(self)
        return {"@module": cls.__module__, "@class": cls.__name__, **self.model_dump(mode="json")}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Inverse of `as_dict`."""
        return cls.model_validate(data)
