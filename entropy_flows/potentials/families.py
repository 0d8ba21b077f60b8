"""The families of models, and which of them a model belongs to.

A family is found by the name of a model or of its file. Where the name does not tell, the argument
`family` says it: `{name: weights.bin, family: sevennet}`. A family of another package is registered
by an entry point in `entropy_flows.model_families`, or named there by its import path,
`{name: weights.bin, family: "package.module:Family"}`. The argument `environment` names another
Python, in which a model is loaded whose packages are not installed here.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

from entropy_flows.plugins import ExtensionPoint, is_import_path
from entropy_flows.potentials.base import ModelFamily
from entropy_flows.potentials.names import split_model, with_arguments
from entropy_flows.yaml_text import shortened

logger = logging.getLogger(__name__)

FAMILY = "family"
"""Argument of a model that names its family."""
ENVIRONMENT = "environment"
"""Argument of a model that names the environment whose Python has its packages."""
ASKED_LAST = ("forcefield", "import-path")
"""Families asked after those of other packages: nearly any name with a dot is an import path."""
FAMILIES = ExtensionPoint(
    noun="model family",
    group="entropy_flows.model_families",
    base=ModelFamily,
    builtin={
        "nequip": "entropy_flows.potentials.nequip:NequIPFamily",
        "sevennet": "entropy_flows.potentials.sevennet:SevenNetFamily",
        "mace": "entropy_flows.potentials.mace:MaceFamily",
        "chgnet": "entropy_flows.potentials.chgnet:ChgnetFamily",
        "matgl": "entropy_flows.potentials.matgl:MatglFamily",
        "metatomic": "entropy_flows.potentials.metatomic:MetatomicFamily",
        "forcefield": "entropy_flows.potentials.forcefield:ForceFieldFamily",
        "import-path": "entropy_flows.potentials.import_path:ImportPathFamily",
    },
    key=FAMILY,
)


class Model(NamedTuple):
    """A model's family, its name or path, and its keyword arguments."""

    family: ModelFamily
    name: str
    arguments: dict[str, Any]


def find_model(model: str | Path) -> Model:
    """Find the family of a model, by its name or by the argument `family`.

    Parameters
    ----------
    model
        Its name or path, with its keyword arguments as `names.split_model` reads them.

    Raises
    ------
    ValueError
        If no family recognizes the name, saying what was expected.
    """
    match = match_model(model)
    if match is not None:
        return match
    name, _ = split_model(model)
    *first, last = [family.describe_names() for family in _families()]
    raise ValueError(
        f"model '{shortened(name, 200)}' is not known; expected {', '.join(first)}, or {last}"
    )


def match_model(model: str | Path) -> Model | None:
    """Find the family of a model; None if no family recognizes its name.

    Raises
    ------
    ValueError
        If the argument `family` names none.
    """
    name, arguments = split_model(model)
    environment = arguments.pop(ENVIRONMENT, None)
    family = _family_of(name, arguments.pop(FAMILY, None))
    if family is None:
        return None
    if environment is not None:
        from entropy_flows.potentials.in_environment import FamilyInEnvironment

        family = FamilyInEnvironment(family, str(environment))
    return Model(family, name, arguments)


def _family_of(name: str, family: Any) -> ModelFamily | None:
    """Return the family that is named, or the first one that recognizes a model's name."""
    if family is not None:
        return FAMILIES.resolve(str(family))()
    return next((each for each in _families() if each.recognizes(name)), None)


def file_suffix(model: str | Path) -> str:
    """Return the end of a model's file name by which its family recognizes it.

    "" for a model that is no file. A family named by an import path is not imported: whatever has
    a suffix is a file of it. So is what a named family does not recognize.
    """
    name, arguments = split_model(model)
    if is_import_path(str(arguments.get(FAMILY, ""))):
        return "".join(Path(name).suffixes)
    match = match_model(model)
    if FAMILY in arguments and match is not None and not match.family.recognizes(name):
        return "".join(Path(name).suffixes)
    if match is None or not match.family.is_file(name):
        return ""
    return max((end for end in match.family.suffixes if name.endswith(end)), key=len)


def with_family_of(model: str | Path, path: str | Path) -> str:
    """Return a path with the family and the environment that another model's arguments name.

    A trained model is a file of its base model's family, whose name may not tell it, and it is
    loaded where its base model is.
    """
    _, arguments = split_model(model)
    lasting = {key: arguments[key] for key in (FAMILY, ENVIRONMENT) if key in arguments}
    return with_arguments(path, lasting)


def environment_of(model: str | Path) -> str | None:
    """Return the name or path of the environment that a model names; None without one."""
    environment = split_model(model)[1].get(ENVIRONMENT)
    return None if environment is None else str(environment)


def without_environment(model: str | Path) -> str:
    """Return a model without the environment that it is loaded in, which changes no number."""
    name, arguments = split_model(model)
    return with_arguments(
        name, {key: value for key, value in arguments.items() if key != ENVIRONMENT}
    )


def module_of(model: str | Path) -> str | None:
    """Return the module that is imported for a model named by an import path; None for another.

    Nothing of the model is imported, and its module need not be importable yet.
    """
    name, arguments = split_model(model)
    if FAMILY in arguments or ENVIRONMENT in arguments or "/" in name or "." not in name:
        return None
    named = takewhile(lambda family: family.name not in ASKED_LAST, _families())
    if any(family.recognizes(name) for family in named):
        return None
    return name.rpartition(".")[0]


def _families() -> Iterator[ModelFamily]:
    """Yield all families in the order in which they are asked about a name.

    Those of other packages are imported only if this package's own do not recognize the name.
    """
    names = FAMILIES.names()
    first = [name for name in names if name in FAMILIES.builtin and name not in ASKED_LAST]
    registered = [name for name in names if name not in FAMILIES.builtin]
    for name in [*first, *registered, *ASKED_LAST]:
        try:
            family = FAMILIES.resolve(name)
        except ValueError as error:
            if name in FAMILIES.builtin:
                raise
            # A broken package of somebody else's disturbs only those who use it.
            logger.warning("%s", error)
            continue
        yield family()
