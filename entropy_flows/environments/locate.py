"""Find the environment that a campaign file names, on this machine."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from entropy_flows.settings import settings
from entropy_flows.spelling import did_you_mean
from entropy_flows.yaml_text import shortened

RECORD = "entropy_flows.json"
"""File in the folder of an environment that `environment create` has finished; written last."""


@dataclass(frozen=True)
class ModelEnvironment:
    """An environment: a folder with a Python of its own."""

    name: str
    """Name or path, just as the campaign file has it."""
    folder: Path
    """Its folder on this machine, absolute."""

    @property
    def python(self) -> Path:
        """Path of the Python. Links are not resolved: by its path it knows its packages."""
        return self.folder / "bin" / "python"

    @property
    def title(self) -> str:
        """The name, and the folder if it is not the name."""
        return self.name if self.name == str(self.folder) else f"{self.name} ({self.folder})"


def find_environment(name: str) -> ModelEnvironment:
    """Find an environment, by its name in the setting `environments` or by its path.

    Raises
    ------
    ValueError
        If there is none, or it has no Python; the message says where it was looked for.
    """
    if is_path(name):
        folder = Path(name).expanduser()
        if not folder.is_dir():
            hint = f"; give its folder {folder.parent.parent}" if folder.exists() else ""
            raise ValueError(f"environment {shortened(name, 200)} is no folder here{hint}")
    else:
        folder = environments_folder() / name
        if not folder.is_dir():
            raise ValueError(_unknown(name))
    environment = ModelEnvironment(name, Path(os.path.abspath(folder)))
    if not environment.python.is_file() or not os.access(environment.python, os.X_OK):
        raise ValueError(
            f"environment {environment.title} has no Python: expected {environment.python}, as a "
            "virtual or conda environment has it"
        )
    return environment


def is_path(name: str) -> bool:
    """Return whether an environment is given by its path."""
    return "/" in name or name.startswith((".", "~"))


def absolute_environment(name: str, base: Path) -> str:
    """Return a name as it is, and a path from a folder on."""
    if not is_path(name):
        return name
    return os.path.abspath(base / Path(name).expanduser())


def environments_folder() -> Path:
    """Return the folder whose environments are known by their names."""
    return Path(os.path.abspath(settings().environments.expanduser()))


def environment_names() -> list[str]:
    """Return the names of the environments of this machine."""
    folder = environments_folder()
    return sorted(path.parent.parent.name for path in folder.glob("*/bin/python"))


def _unknown(name: str) -> str:
    names = environment_names()
    hint = did_you_mean(name, names) or f"; there: {', '.join(names) or 'none'}"
    return (
        f"no environment {shortened(name)!r} in {environments_folder()}{hint}. "
        "Make it with `entropy-flows environment create`, or give a path"
    )
