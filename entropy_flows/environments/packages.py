"""The packages of an environment, as its own Python names them."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from entropy_flows.environments.foreign import adapter_file
from entropy_flows.environments.locate import ModelEnvironment
from entropy_flows.faults import MachineError
from entropy_flows.yaml_text import shortened

MAX_SECONDS = 120.0


@lru_cache
def environment_packages(environment: ModelEnvironment) -> dict[str, Any]:
    """Return `python`, the version of an environment's Python, and `packages`, name → version.

    Raises
    ------
    MachineError
        If its Python does not run.
    """
    command = [str(environment.python), "-I", str(adapter_file("packages"))]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=MAX_SECONDS
        )
        facts: dict[str, Any] = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        output = getattr(error, "stderr", None) or str(error)
        reason = shortened(output.strip().splitlines()[-1], 200)
        raise MachineError(
            f"the Python of environment {environment.title} does not run: {reason}"
        ) from error
    return facts


def package_version(packages: Mapping[str, str], name: str) -> str | None:
    """Return the version of a package in whatever way its name is spelled; None if it is missing.

    `mace_torch`, `mace-torch` and `MACE.torch` are one name.
    """
    spelled = {_normalized(each): version for each, version in packages.items()}
    return spelled.get(_normalized(name))


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
