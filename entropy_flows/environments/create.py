"""Make an environment: a virtual environment, filled by pip from a pinned requirements file.

A virtual environment cannot be moved, so it is made where it stays. Its record is written last: a
folder without one is unfinished, and is made anew.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from packaging.specifiers import SpecifierSet

from entropy_flows.environments.locate import (
    RECORD,
    ModelEnvironment,
    environments_folder,
    find_environment,
)
from entropy_flows.environments.packages import environment_packages
from entropy_flows.environments.requirements_files import Requirements
from entropy_flows.files import read_json, write_json
from entropy_flows.processes import child, locked

PATIENCE = 3.0
"""Seconds to wait for another process that makes the same environment."""
LOG = "install.log"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class EnvironmentState:
    """An environment of this machine, as `environment list` has it."""

    environment: ModelEnvironment
    """Where it is."""
    requirements: str
    """Name of the requirements file that it was made from; "" if somebody else has made it."""
    python: str
    """Version of its Python; "" if it is not known without running it."""
    packages: dict[str, str]
    """Main packages and their versions."""
    is_finished: bool
    """False if its making was interrupted."""


def create_environment(
    name: str,
    requirements: Requirements,
    python: str | None = None,
    anew: bool = False,
    report: Callable[[str], None] = lambda _: None,
) -> ModelEnvironment:
    """Make an environment, or return one that has been made from the same requirements.

    Parameters
    ----------
    name
        Name of its folder in the setting `environments`.
    requirements
        What is installed.
    python
        Program whose version of Python it has; None takes the first that fits of this one and
        python3.10 to python3.14.
    anew
        True to delete an environment of this name first.
    report
        Called with a line for each step.

    Raises
    ------
    ValueError
        If the name is none, is taken by another environment, be it one that somebody else has made,
        no Python fits, or pip fails; the message has pip's last line.
    MachineError
        If another process makes it.
    """
    if not NAME.fullmatch(name):
        raise ValueError(f"name of an environment {name!r}: expected letters, digits and . _ -")
    folder = environments_folder() / name
    environment = ModelEnvironment(name, folder)
    with locked(folder.parent / f".{name}.lock", f"environment {name}", PATIENCE):
        record = read_json(folder / RECORD, None)
        if record is not None and not anew:
            if record["requirements_sha256"] == requirements.sha256:
                return find_environment(name)
            raise ValueError(
                f"environment {name} was made from other requirements "
                f"({record['requirements']}, {record['created'][:10]}): give --anew or another name"
            )
        program = _python(requirements, python)
        _clear(folder, anew)
        report(f"{folder}: {program}, {requirements.title}")
        _run([program, "-m", "venv", str(folder)], folder.parent, f".{name}.log")
        pip = [str(environment.python), "-I", "-m", "pip", "install", "--disable-pip-version-check"]
        _run([*pip, "-r", str(requirements.path)], folder, LOG)
        write_json(folder / RECORD, _record(environment, requirements))
        (folder.parent / f".{name}.log").unlink(missing_ok=True)
    return find_environment(name)


def list_environments() -> list[EnvironmentState]:
    """Return the environments of this machine, finished or not."""
    folder = environments_folder()
    folders = sorted(path.parent.parent for path in folder.glob("*/bin/python"))
    return [_state(ModelEnvironment(path.name, path)) for path in folders]


def _state(environment: ModelEnvironment) -> EnvironmentState:
    record = read_json(environment.folder / RECORD, None)
    if record is None:
        ours = (environment.folder / LOG).exists()
        return EnvironmentState(environment, "", "", {}, is_finished=not ours)
    return EnvironmentState(
        environment, record["requirements"], record["python"], record["main"], is_finished=True
    )


def _record(environment: ModelEnvironment, requirements: Requirements) -> dict[str, Any]:
    """Return what is kept of an environment that is finished."""
    environment_packages.cache_clear()
    facts = environment_packages(environment)
    return {
        "requirements": requirements.name,
        "requirements_sha256": requirements.sha256,
        "python": facts["python"],
        "main": {name: facts["packages"].get(name, "") for name in requirements.packages},
        "packages": facts["packages"],
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _python(requirements: Requirements, python: str | None) -> str:
    """Return a Python whose version the requirements install on."""
    others = [f"python3.{minor}" for minor in range(10, 15)]
    candidates = [sys.executable, *others] if python is None else [python]
    versions = {}
    for candidate in candidates:
        program = shutil.which(candidate)
        version = None if program is None else _version(program)
        if program is None or version is None:
            continue
        versions[program] = version
        if version in SpecifierSet(requirements.python):
            return program
    if python is not None and not versions:
        raise ValueError(f"--python {python} is no Python that can be run here")
    there = ", ".join(f"{program} is {version}" for program, version in versions.items())
    raise ValueError(
        f"{requirements.name} needs Python {requirements.python}; {there}. "
        "Give one that fits: --python /path/to/python3.12"
    )


def _version(program: str) -> str | None:
    code = "import sys; print('.'.join(map(str, sys.version_info[:3])))"
    command = [program, "-I", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or None


def _clear(folder: Path, anew: bool) -> None:
    """Delete what an interrupted installation has left; refuse a folder of anything else."""
    if not folder.exists():
        return
    if any(folder.iterdir()) and not (folder / "pyvenv.cfg").is_file():
        raise ValueError(f"{folder} is no environment and not empty; give another name")
    if folder.is_symlink():
        raise ValueError(f"{folder} is a link to another environment; give another name")
    is_ours = (folder / LOG).exists() or (folder.parent / f".{folder.name}.log").exists()
    if any(folder.iterdir()) and not is_ours and not anew:
        raise ValueError(
            f"{folder} is an environment that was not made by this command; "
            "use it as it is, give another name, or --anew to replace it"
        )
    shutil.rmtree(folder)


def _run(command: Sequence[str], folder: Path, log: str) -> None:
    """Run a step of the installation, which ends with this process."""
    path = folder / log
    with open(path, "w") as output:
        options = {"stdout": output, "stderr": subprocess.STDOUT, "stdin": subprocess.DEVNULL}
        with child(command, cwd=os.sep, **options) as process:
            code = process.wait()
    if code:
        lines = [line.strip() for line in path.read_text(errors="replace").splitlines() if line]
        errors = [line for line in lines if "ERROR" in line] or lines[-1:]
        reason = errors[-1] if errors else "no output"
        raise ValueError(f"{' '.join(command[-5:])} failed (log {path}): {reason}")
