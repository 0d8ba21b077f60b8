"""Base class of every set of parameters: immutable, typed, and strict about names."""

from __future__ import annotations

import ast
import inspect
import itertools
import textwrap
from collections.abc import Iterator
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from entropy_flows.spelling import did_you_mean
from entropy_flows.yaml_text import shortened

MAX_PROBLEMS = 6
"""Problems that the message about one file names."""
MAX_CHARACTERS = 1400
"""Longest message: with the file's name and a last word, less than a screen of 24 lines of 80."""


class Params(BaseModel):
    """Parameters of one stage.

    A subclass is at once a Maker's field, a section of the campaign file and what the core function
    takes, so a parameter is named, typed and documented in one place.

    Raises
    ------
    pydantic.ValidationError
        For a value out of range, or for an unknown key, naming the closest known one.
    """

    renamed: ClassVar[dict[str, str]] = {}
    """Maps keys of earlier versions to their present names, with which the old ones are refused."""
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _suggest_known_keys(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        keys = [field.alias or name for name, field in cls.model_fields.items()]
        # without monty's class tags
        data = {key: value for key, value in data.items() if not str(key).startswith("@")}
        if cls.model_config["extra"] == "allow":
            # a plug-in's keys, which its own class checks once it may be imported
            return data
        for key in data:
            if key in cls.renamed:
                raise ValueError(f"'{key}' is called '{cls.renamed[key]}' now")
            if key not in keys and key not in cls.model_fields:
                hint = did_you_mean(str(key), keys) or f"; known keys: {', '.join(keys)}"
                raise ValueError(f"unknown key '{shortened(str(key))}'{hint}")
        return data

    def as_dict(self) -> dict[str, Any]:
        """MSON form: lets parameters travel as a Maker's field through jobflow."""
        cls = type(self)
        return {"@module": cls.__module__, "@class": cls.__name__, **self.model_dump(mode="json")}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Inverse of `as_dict`."""
        return cls.model_validate(data)


def field_meanings(schema: type[BaseModel]) -> dict[str, str]:
    """Return key → meaning, as the strings below the fields of a class and of its bases say.

    Pydantic can do so whenever a class is made, which costs a command a fifth of its time.
    """
    meanings: dict[str, str] = {}
    for cls in reversed(schema.__mro__):
        if cls is BaseModel or not issubclass(cls, BaseModel):
            continue
        [definition] = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
        assert isinstance(definition, ast.ClassDef), "it is the source of a class"
        for field, text in itertools.pairwise(definition.body):
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
                name = ast.unparse(field.target)
                meanings[name] = inspect.cleandoc(ast.literal_eval(text.value))
    return meanings


def one_line(err: ValueError) -> str:
    """Describe what is wrong with parameters, in one line of at most a screen.

    It says where it is, what was found and what was expected.

    Parameters
    ----------
    err
        Pydantic's error, or any other, whose message is taken as it is.
    """
    if not isinstance(err, ValidationError):
        return screenful(str(err))
    errors = err.errors()
    inner = {item["loc"][:-1] for item in errors}
    problems = []
    for item in errors:
        if item["type"] == "too_short" and item["loc"] in inner:
            continue  # only because what was in it is wrong
        where = ".".join(shortened(str(key), 40) for key in item["loc"])
        problems.append(
            f"{where + ': ' if where else ''}{shortened(_expected(item), 400)}{_input(item)}"
        )
    more = f"; and {len(problems) - MAX_PROBLEMS} more" if len(problems) > MAX_PROBLEMS else ""
    return screenful("; ".join(problems[:MAX_PROBLEMS])) + more


def screenful(text: str) -> str:
    """Return a message in one printable line, cut off where it would fill more than a screen."""
    return shortened(text, MAX_CHARACTERS)


def _input(item: Any) -> str:
    """Return the value that one of pydantic's errors was about, as far as it helps."""
    value = item.get("input")
    if item["type"] == "value_error" or isinstance(value, dict):
        return ""
    hint = (
        "; YAML takes a bare yes, no, on or off for true or false: put it in quotes"
        if _is_word(item)
        else ""
    )
    return f" (got {shortened(repr(value))}{hint})"


def _is_word(item: Any) -> bool:
    return item["type"] == "string_type" and isinstance(item.get("input"), bool)


def _expected(item: Any) -> str:
    """Return what one of pydantic's errors says was expected, in a YAML file's words."""
    kind = item["type"]
    value = item.get("input")
    if kind in ("tuple_type", "list_type"):
        scalar = isinstance(value, str | int | float)
        return (
            f"expected a list such as [{shortened(str(value), 40)}]"
            if scalar
            else "expected a list"
        )
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        schema = next(
            (c for c in _subclasses(Params) if c.__name__ == item.get("ctx", {}).get("class_name")),
            None,
        )
        key = next(iter(schema.model_fields), "key") if schema else "key"
        return f"expected a mapping such as {{{key}: …}}"
    return str(item["msg"]).removeprefix("Value error, ")


def _subclasses(base: type[Params]) -> Iterator[type[Params]]:
    for cls in base.__subclasses__():
        yield cls
        yield from _subclasses(cls)
