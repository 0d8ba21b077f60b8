"""Find plug-ins by name: selectors, fingerprints, label engines, model families, trainers.

A campaign file names a plug-in in one of three ways.

=========================  =====================================================================
written                    meaning
=========================  =====================================================================
`logdet`                   one of this package's own
`my-selector`              an entry point that an installed package declares in the point's group
`mypackage.module:Mine`    an import path
=========================  =====================================================================

Nothing is imported before it is asked for by name, so that a broken package of somebody else's
disturbs only those who use it.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Protocol

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from entropy_flows.faults import is_machine_fault
from entropy_flows.params import Params
from entropy_flows.spelling import did_you_mean, unknown

PLUGIN_KEYS = frozenset({"selector", "kind", "engine"})
"""Keys of a campaign file whose value may be an import path that is imported to read the file."""


@dataclass(frozen=True)
class ExtensionPoint:
    """A place where packages may add classes of one sort.

    Attributes
    ----------
    noun
        Name of the sort in messages, such as "selector".
    group
        Group of entry points, such as "entropy_flows.selectors".
    base
        Class that each plug-in inherits from, or a `typing.Protocol` whose members it has.
    builtin
        Name → import path of this package's own plug-ins. The first is the default.
    key
        Key of a settings mapping that names the plug-in, such as "selector".
    params
        Name → import path of the class of parameters, for those of `builtin` that take more to
        import than their parameters do.
    """

    noun: str
    group: str
    base: type
    builtin: Mapping[str, str] = field(hash=False)
    key: str = "name"
    params: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def default(self) -> str:
        """Name of the plug-in that settings without a name mean."""
        return next(iter(self.builtin))

    def names(self) -> list[str]:
        """Return all names that can be asked for: this package's own first, then entry points."""
        builtin = list(self.builtin)
        declared = {entry.name for entry in _entry_points(self.group)}
        return builtin + sorted(declared - set(builtin))

    def resolve(self, name: str) -> Any:
        """Import the plug-in of a name.

        Raises
        ------
        ValueError
            In one line: if nothing has this name, if two packages have given it to two things, if
            it cannot be imported, or if it lacks what every plug-in of its sort has.
        """
        if is_import_path(name):
            plugin = self._import(name, f"{self.noun} '{name}'")
        else:
            plugin = self._import(*self._registered(name))
        self._check(name, plugin)
        return plugin

    def name_of(self, settings: Any) -> str:
        """Return the name in settings, be they a mapping from a file or parameters already."""
        if isinstance(settings, Mapping):
            return str(settings.get(self.key, self.default))
        return str(getattr(settings, self.key, self.default))

    def validate(self, settings: Any) -> Any:
        """Make a mapping the parameters of the plug-in that it names: a discriminated union.

        This is the body of a pydantic `BeforeValidator`. Parameters and what is no mapping are
        returned as they are.
        """
        if not isinstance(settings, Mapping):
            return settings
        name = self.name_of(settings)
        try:
            schema = self.params_class(name)
        except ValueError as err:
            # As an error of the key, so that messages say where in the file the name is.
            problem = PydanticCustomError("value_error", "{reason}", {"reason": str(err)})
            details = InitErrorDetails(type=problem, loc=(self.key,), input=name)
            raise ValidationError.from_exception_data(self.noun, [details]) from err
        data = dict(settings)
        if self.key not in schema.model_fields:
            # Only the default may be nameless: parameters are read back by their names.
            if name != self.default:
                raise ValueError(f"{self.noun} '{name}': its parameters have no '{self.key}'")
            data.pop(self.key, None)
        return schema.model_validate(data)

    def without_others(self, settings: Mapping[str, Any], changes: Any) -> dict[str, Any]:
        """Return the settings that changes may be laid over.

        Where the changes name another plug-in, its parameters are kept as far as it has them.
        """
        name = changes.get(self.key) if isinstance(changes, Mapping) else None
        if not isinstance(name, str) or name == self.name_of(settings):
            return dict(settings)
        fields = self.params_class(name).model_fields
        return {key: value for key, value in settings.items() if key in fields}

    def params_class(self, name: str) -> type[Params]:
        """Return the class of a plug-in's parameters: its attribute `takes`, or itself."""
        if name in self.params:
            _, subject = self._registered(name)
            return self._import(self.params[name], subject)
        plugin = self.resolve(name)
        return getattr(plugin, "takes", plugin)

    def _registered(self, name: str) -> tuple[str, str]:
        """Return the import path that a name stands for, and what messages call the plug-in."""
        paths = {} if name not in self.builtin else {"entropy_flows": self.builtin[name]}
        for entry in _entry_points(self.group):
            if entry.name == name:
                paths[_package(entry)] = f"{entry.module}:{entry.attr}"
        if not paths:
            raise ValueError(unknown(self.noun, name, self.names()))
        if len(paths) > 1:
            raise ValueError(
                f"{self.noun} '{name}' is declared by {len(paths)} packages: "
                f"{', '.join(sorted(paths))}; uninstall one, or give an import path"
            )
        [(package, path)] = paths.items()
        return path, f"{self.noun} '{name}' of {package} ({path})"

    def _import(self, path: str, subject: str) -> Any:
        """Import an object; a ValueError says which `subject` that failed for, and why."""
        module_name, _, attributes = path.partition(":")
        try:
            plugin = importlib.import_module(module_name)
        except Exception as err:  # a third party's module may raise anything
            # a module that is not there is the name's fault, not the machine's
            if is_machine_fault(err) and not isinstance(err, ImportError):
                raise
            reason = f"{type(err).__name__}: {err}".splitlines()[0]
            raise ValueError(f"{subject} cannot be imported: {reason}") from err
        for attribute in attributes.split("."):
            if not hasattr(plugin, attribute):
                hint = did_you_mean(attribute, vars(plugin))
                raise ValueError(
                    f"{subject} cannot be imported: {module_name} has no '{attribute}'{hint}"
                )
            plugin = getattr(plugin, attribute)
        return plugin

    def _check(self, name: str, plugin: Any) -> None:
        """Refuse what lacks a part of the base or the protocol."""
        subject = f"'{name}' is no {self.noun}"
        if getattr(self.base, "_is_protocol", False):
            missing = [member for member in _members(self.base) if not _has(plugin, member)]
            problem = "it has no"
        elif not (isinstance(plugin, type) and issubclass(plugin, self.base)):
            base = f"{self.base.__module__}.{self.base.__qualname__}"
            raise ValueError(f"{subject}: it does not inherit from {base}")
        else:
            missing = sorted(getattr(plugin, "__abstractmethods__", ()))
            problem = "it does not define"
        if missing:
            raise ValueError(f"{subject}: {problem} {', '.join(f'`{each}`' for each in missing)}")


def is_import_path(name: str) -> bool:
    """Return whether a plug-in's name is of the form "package.module:Name"."""
    module_name, colon, attributes = name.partition(":")
    words = [*module_name.split("."), *attributes.split(".")]
    return bool(colon) and all(word.isidentifier() for word in words)


def import_paths(settings: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Iterate over key and import path of the plug-ins that a file names; nothing is imported."""
    if isinstance(settings, Mapping):
        for name, value in settings.items():
            yield from import_paths(value, f"{key}.{name}" if key else str(name))
    elif isinstance(settings, list | tuple):
        for index, value in enumerate(settings):
            yield from import_paths(value, f"{key}[{index}]")
    elif key.rpartition(".")[2] in PLUGIN_KEYS and is_import_path(str(settings)):
        yield key, settings


def _entry_points(group: str) -> tuple[EntryPoint, ...]:
    # The scan reads every installed package's metadata, so one is kept for each search path.
    return _scan(tuple(sys.path)).get(group, ())


@lru_cache(maxsize=64)
def _scan(search_path: tuple[str, ...]) -> dict[str, tuple[EntryPoint, ...]]:
    """Return the entry points of all installed packages by group."""
    installed = entry_points()
    return {group: tuple(installed.select(group=group)) for group in installed.groups}


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else entry.module


def _members(protocol: type) -> list[str]:
    """Return the names that a protocol asks for, in the order of its definition."""
    names: dict[str, None] = {}
    for cls in reversed(protocol.__mro__):
        if cls in (object, Protocol) or cls.__module__ == "typing":
            continue
        for name in [*vars(cls), *inspect.get_annotations(cls)]:
            if name == "__call__" or not name.startswith("_"):
                names[name] = None
    return list(names)


def _has(plugin: Any, member: str) -> bool:
    """Return whether a class or object defines a member, be it as an annotated field alone."""
    if member == "__call__":
        return any("__call__" in vars(cls) for cls in getattr(plugin, "__mro__", [type(plugin)]))
    if hasattr(plugin, member):
        return True
    classes = plugin.__mro__ if isinstance(plugin, type) else ()
    return any(member in inspect.get_annotations(cls) for cls in classes)
