"""Modules that lie beside a campaign file, importable for its commands and jobs alone."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path


def lies_beside(module: str, folder: Path) -> bool:
    """Tell whether a module, or its package, lies in a folder; nothing is imported."""
    top = module.partition(".")[0]
    return (folder / f"{top}.py").is_file() or any((folder / top).glob("*.py"))


def is_installed(module: str) -> bool:
    """Tell whether Python finds the package that a module is in; nothing is imported."""
    top = module.partition(".")[0]
    return top in sys.modules or importlib.util.find_spec(top) is not None


class _Current:
    """The folder whose modules can be imported now."""

    folder: str | None = None


def use_folder(folder: str | Path | None) -> None:
    """Make the modules of a folder importable, and those of the folder before no longer.

    Parameters
    ----------
    folder
        Folder of a campaign's modules, which come after all that is installed; None if it has
        none. A process may run jobs of several
        campaigns, whose modules may have one name: what was imported from the folder before is
        forgotten.
    """
    path = None if folder is None else str(Path(folder).resolve())
    if path == _Current.folder:
        return
    if _Current.folder is not None:
        sys.path[:] = [entry for entry in sys.path if entry != _Current.folder]
        old = Path(_Current.folder)
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None)
            if file is not None and old in Path(file).parents:
                del sys.modules[name]
    _Current.folder = path
    if path is not None:
        sys.path.append(path)
    importlib.invalidate_caches()
