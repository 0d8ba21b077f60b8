"""Write parameters.md: every key of the YAML files and every setting, as the code has them."""

from __future__ import annotations

import types
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from entropy_flows.bench.params import BenchParams
from entropy_flows.fingerprints import FINGERPRINTS, FingerprintSettings
from entropy_flows.label.params import BUILTIN, ENGINES, LabelParams
from entropy_flows.params import field_meanings
from entropy_flows.schemas import AgnosticParams, Campaign
from entropy_flows.schemas.stages import Stage
from entropy_flows.select import SELECTORS, Selector
from entropy_flows.settings import Settings
from entropy_flows.train import TrainParams
from entropy_flows.train.trainers import TRAINERS

PAGE = Path(__file__).with_name("parameters.md")
HEAD = """\
# All parameters

Every key of the YAML files, with its type, default and meaning.
[The campaign file](campaign.md) says how a campaign's sections work together.
Units are Å, eV, GPa, K and fs, unless another one is named. `null` is YAML's word for None.

A stage is one of {stages}.

`python docs/parameters.py` makes this page from the classes that the files are read into.
"""
FILES: dict[str, tuple[type[BaseModel], str]] = {
    "The campaign file": (Campaign, "[campaign.md](campaign.md)"),
    "The file of `bench-selectors`": (
        BenchParams,
        "[selectors.md](selectors.md); `--set KEY=VALUE` sets the same keys",
    ),
    "The file of `agnostic`": (AgnosticParams, "[agnostic.md](agnostic.md)"),
}
FINGERPRINT_CLASSES = [FINGERPRINTS.params_class(name) for name in FINGERPRINTS.builtin]
SELECTOR_CLASSES = [SELECTORS.params_class(name) for name in SELECTORS.builtin]
ENGINE_CLASSES = list(dict.fromkeys(map(ENGINES.params_class, BUILTIN)))
"""Parameters of each label engine, which a field of LabelParams may hold."""
TRAINER_CLASSES = [
    trainer.takes
    for trainer in map(TRAINERS.resolve, TRAINERS.builtin)
    if trainer.takes is not TrainParams
]
"""Recipes of trainers that have keys of their own."""
SETTINGS = """\
## Settings of a machine

These are environment variables.
Without `ENTROPY_FLOWS_` and in lower case they are keys of `~/.entropy_flows.yaml`.
The environment overrules that file.

| variable | type | default | meaning |
| --- | --- | --- | --- |
| `ENTROPY_FLOWS_CONFIG_FILE` | path | `~/.entropy_flows.yaml` | Settings file; a variable only. |
"""
WORDS = {
    str: "text",
    int: "integer",
    float: "number",
    bool: "true or false",
    Any: "anything",
    Path: "path",
}
WORDS |= {SecretStr: "text", Stage: "stage"}
SIGNS = {Gt: (">", "gt"), Ge: ("≥", "ge"), Lt: ("<", "lt"), Le: ("≤", "le")}


def text() -> str:
    """Write the page."""
    chapters = [HEAD.format(stages=", ".join(Stage))]
    described: set[type[BaseModel]] = set()
    for title, (schema, page) in FILES.items():
        chapters.append(f"## {title}\n\n{_summary(schema)} See {page}.\n\n{_table(schema)}")
        described.add(schema)
        for section, paths in _sections(schema).items():
            if section not in described and _fields(section):
                chapters.append(_chapter(section, paths))
                described.add(section)
    variables = [
        _row(f"ENTROPY_FLOWS_{name.upper()}", field, field_meanings(Settings).get(name))
        for name, field in Settings.model_fields.items()
    ]
    return "\n".join([*chapters, SETTINGS + "".join(variables)])


def _chapter(section: type[BaseModel], paths: list[str]) -> str:
    """Describe a section, with the keys under which a file has it."""
    keys = ", ".join(f"`{path}`" for path in paths)
    return f"### {section.__name__}\n\n{keys}: {_summary(section)}\n\n{_table(section)}"


def _sections(schema: type[BaseModel]) -> dict[type[BaseModel], list[str]]:
    """Map each section class below a class to its keys in the file, in the file's order."""
    keys: dict[type[BaseModel], list[str]] = {}
    for name, field in _fields(schema).items():
        sections = [*_classes(field.annotation)]
        if LabelParams in sections:
            sections += ENGINE_CLASSES
        if FingerprintSettings in sections:
            sections += FINGERPRINT_CLASSES
        if Selector in sections:
            sections += SELECTOR_CLASSES
        if TrainParams in sections:
            sections += TRAINER_CLASSES
        for section in sections:
            keys.setdefault(section, []).append(name)
            for subsection, paths in _sections(section).items():
                keys.setdefault(subsection, []).extend(f"{name}.{path}" for path in paths)
    return keys


def _classes(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _classes(argument)


def _fields(schema: type[BaseModel]) -> dict[str, FieldInfo]:
    """Return a class's keys, then those it inherits; a plug-in's without those of all its sort."""
    of_class = {
        name: field for name, field in schema.model_fields.items() if name in schema.__annotations__
    }
    if schema in SELECTOR_CLASSES:
        shared = Selector.model_fields
        return {name: field for name, field in schema.model_fields.items() if name not in shared}
    if schema in ENGINE_CLASSES or schema in TRAINER_CLASSES:
        return of_class
    return of_class | schema.model_fields


def _table(schema: type[BaseModel]) -> str:
    meanings = field_meanings(schema)
    rows = [_row(name, field, meanings.get(name)) for name, field in _fields(schema).items()]
    return "| key | type | default | meaning |\n| --- | --- | --- | --- |\n" + "".join(rows)


def _row(name: str, field: FieldInfo, meaning: str | None) -> str:
    meaning = meaning or " ".join(_summary(section) for section in _classes(field.annotation))
    cells = [
        f"`{name}`",
        _type(field.annotation, field.metadata),
        _default(field),
        " ".join(meaning.split()),
    ]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _summary(schema: type[BaseModel]) -> str:
    """Return the first paragraph of a class's docstring."""
    return " ".join((schema.__doc__ or "").split("\n\n")[0].split())


def _type(annotation: Any, metadata: Iterable[Any] = ()) -> str:
    """Name a type in a YAML file's words, with its limits."""
    if get_origin(annotation) in (Union, types.UnionType) and types.NoneType in get_args(
        annotation
    ):
        others = tuple(arg for arg in get_args(annotation) if arg is not types.NoneType)
        return f"{_type(Union[others], metadata)} or null"  # noqa: UP007
    limits = " and ".join(limit for item in metadata for limit in _limits(item))
    return _name(annotation) + (f" {limits}" if limits else "")


def _name(annotation: Any) -> str:
    origin = get_origin(annotation)
    args = get_args(annotation)
    if annotation is FingerprintSettings:
        return " or ".join(map(_name, FINGERPRINT_CLASSES))
    if origin is Annotated:
        return _type(args[0], args[1:])
    if origin in (Union, types.UnionType):
        return " or ".join(map(_type, args))
    if origin is Literal:
        return ", ".join(f"`{arg}`" for arg in args)
    if origin is tuple:
        return (
            f"list of {_type(args[0])}" if args[-1] is ... else f"[{', '.join(map(_type, args))}]"
        )
    if origin is dict:
        return f"mapping of {_type(args[0])} to {_type(args[1])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    return WORDS[annotation]


def _limits(item: Any) -> Iterator[str]:
    if isinstance(item, FieldInfo):
        for constraint in item.metadata:
            yield from _limits(constraint)
    elif type(item) in SIGNS:
        sign, name = SIGNS[type(item)]
        yield f"{sign} {_yaml(getattr(item, name))}"
    elif isinstance(item, MinLen):
        yield f"(at least {item.min_length})"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True, validated_data={})
    if value == "":
        return "none"
    if not isinstance(value, BaseModel):
        return f"`{_yaml(value)}`"
    given = value.model_dump(exclude_unset=True)
    if given == type(value)().model_dump(exclude_unset=True):
        return "its own"
    if "preset" in given:  # it gives the other values
        given = {"preset": given["preset"]}
    return f"`{_yaml(given)}`"


def _yaml(value: Any) -> str:
    """Write a value as YAML has it in one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_yaml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_yaml, value))}]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    PAGE.write_text(text())
    print(f"written: {PAGE}")
