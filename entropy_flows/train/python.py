"""The Python that runs a training program: this one, or that of the base model's environment."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from entropy_flows.environments import ModelEnvironment, find_environment
from entropy_flows.environments.packages import environment_packages, package_version
from entropy_flows.faults import MachineError
from entropy_flows.potentials import environment_of


@dataclass(frozen=True)
class TrainingPython:
    """The Python of a training.

    A trainer makes it of its base model, gives it to `run_program` and to `inputs_sha256`.
    """

    environment: ModelEnvironment | None = None
    """The environment whose Python it is; None for this Python."""

    @classmethod
    def of(cls, model: object) -> TrainingPython:
        """Return the Python of a base model, or this one if it names no environment.

        Raises
        ------
        MachineError
            If the environment is not on this machine.
        """
        name = None if isinstance(model, dict) else environment_of(str(model))
        if name is None:
            return cls()
        try:
            return cls(find_environment(name))
        except ValueError as error:
            raise MachineError(str(error)) from error

    def command(self, program: str | Path, arguments: Sequence[str]) -> list[str]:
        """Return the command that runs a program.

        Parameters
        ----------
        program
            A module, or the path of a script. A script for an environment imports nothing of this
            package.
        arguments
            Its command line.
        """
        script = [str(program)] if isinstance(program, Path) else ["-m", program]
        # The current folder stays out of the module path, and the `PYTHON…` variables of this
        # Python out of another one.
        if self.environment is None:
            return [sys.executable, "-P", *script, *arguments]
        return [str(self.environment.python), "-I", *script, *arguments]

    def versions(self, packages: Sequence[str]) -> dict[str, str]:
        """Return the versions of packages, which decide what a training gives.

        That of this package is of the one that has started the training.

        Raises
        ------
        MachineError
            If one is missing in the environment.
        """
        here = [name for name in packages if self.environment is None or name == "entropy_flows"]
        versions: dict[str, str | None] = {name: version(name) for name in here}
        if self.environment is not None:
            installed = environment_packages(self.environment)["packages"]
            others = [name for name in packages if name not in here]
            versions |= {name: package_version(installed, name) for name in others}
        missing = [name for name, number in versions.items() if number is None]
        if missing and self.environment is not None:
            raise MachineError(
                f"environment {self.environment.title} has no package {', '.join(missing)}"
            )
        return {name: str(versions[name]) for name in packages}


HERE = TrainingPython()
"""This Python."""
