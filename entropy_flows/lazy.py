"""Names of a package that are imported on first use, so that the package itself is light."""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any


def lazy_names(package: str, file: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return `__getattr__` and `__dir__` of a package (PEP 562).

    The names are those that the package's `__init__.py` imports under `if TYPE_CHECKING`. So type
    checkers and people read ordinary imports, and each name stands there once. None of them may be
    the name of a module of the package, which Python would take for it.

    Parameters
    ----------
    package
        The package's `__name__`.
    file
        The package's `__file__`.
    """
    modules = cache(lambda: _imports(Path(file)))

    def get(name: str) -> Any:
        # Python asks for names such as `__path__` on its own, and there is none of them.
        if name.startswith("__") or name not in modules():
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(modules()[name]), name)
        setattr(sys.modules[package], name, value)
        return value

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *modules()})

    return get, names


def _imports(file: Path) -> dict[str, str]:
    """Return name → module of what a file imports under its first `if`."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    return {
        alias.name: str(statement.module)
        for statement in block.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }
