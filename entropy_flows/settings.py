"""Settings of this machine: the only reader of the environment and of ~/.entropy_flows.yaml.

Credentials belong in ENTROPY_FLOWS_URI or in a settings file that only its owner can read; they are
never written into a job, a log or a report.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from entropy_flows.yaml_text import read_yaml, shortened

PREFIX = "ENTROPY_FLOWS_"
"""What the names of the variables begin with, in the environment."""
MAX_PROBLEMS = 6
"""Problems that the message about one file names."""
Device = Annotated[str, Field(pattern=r"^(cpu|cuda(:\d+)?)$")]
BiasDevice = Literal["fastest", "device", "host"]


class Settings(BaseModel):
    """Settings of one machine, read from ENTROPY_FLOWS_* and then from ~/.entropy_flows.yaml."""

    model_config = ConfigDict(extra="forbid")

    uri: SecretStr | None = None
    """MongoDB URI; unset, the command line starts an embedded server in the campaign's folder."""
    database: str = Field("entropy_flows", pattern=r"^[A-Za-z0-9_-]+$")
    """Database that holds the job store, the jobs and the campaigns."""
    cache: Path = Path("~/.cache/entropy_flows")
    """Folder for models fetched from the database."""
    environments: Path = Path("~/.local/share/entropy_flows/environments")
    """Folder of the environments that campaign files name, for models of other Pythons."""
    device: Device = "cpu"
    """Device for models, their training and fingerprints: cpu, cuda, or one of several, such as
    cuda:1.
    """
    bias_on: BiasDevice = "fastest"
    """Where an exploration with a model on a GPU computes the bias: on that device, or on the
    host's core while the GPU has the model. fastest times both when a job begins.
    """
    deterministic: bool = False
    """Whether torch takes the deterministic form of its operations on a GPU, where there is one.
    """
    workers: int | None = Field(None, ge=1)
    """Local workers started by `entropy-flows run`; None takes one per core."""
    heartbeat: float = Field(60.0, gt=0)
    """Seconds between two signs of life of a running job; after ten without one `repair` takes
    it for lost.
    """
    patience: float = Field(900.0, ge=0)
    """Seconds for which a worker waits for a database that does not answer before it gives its
    job up.
    """
    checkpoint: float = Field(60.0, ge=0)
    """Seconds between two checkpoints of an exploration."""

    @classmethod
    def read(cls) -> Settings:
        """Read the file and the environment, which wins.

        Raises
        ------
        ValueError
            If the file is no mapping, holds a URI that others can read, or a value is invalid.
        """
        path = Path(
            os.environ.get("ENTROPY_FLOWS_CONFIG_FILE", "~/.entropy_flows.yaml")
        ).expanduser()
        content = (read_yaml(path) or {}) if path.is_file() else {}
        if not isinstance(content, dict):
            raise ValueError(f"{path}: expected a mapping of keys, got {type(content).__name__}")
        if "uri" in content and path.stat().st_mode & 0o077:
            raise ValueError(
                f"{path} holds a database URI but others can read it; run: chmod 600 {path}"
            )
        variables = {name: f"{PREFIX}{name.upper()}" for name in cls.model_fields}
        environment = {
            name: os.environ[variable]
            for name, variable in variables.items()
            if variable in os.environ
        }
        return cls.model_validate({**content, **environment})


@lru_cache
def settings() -> Settings:
    """Return the settings of this process, read once.

    Raises
    ------
    ValueError
        If a value is invalid; the message names the variable, never its value when it may hold a
        password.
    """
    try:
        return Settings.read()
    except ValidationError as err:
        problems = [
            f"{PREFIX}{shortened(str(e['loc'][0]), 40).upper()}: {e['msg']}" for e in err.errors()
        ]
        more = f" and {len(problems) - MAX_PROBLEMS} more" if len(problems) > MAX_PROBLEMS else ""
        raise ValueError(f"invalid settings: {', '.join(problems[:MAX_PROBLEMS])}{more}") from None


def choose_algorithms() -> None:
    """Let torch compute deterministically on a GPU, where the settings ask for it.

    It has to be called before the GPU is used. An operation without a deterministic form is warned
    of by its name, and done.
    """
    if not settings().deterministic or settings().device == "cpu":
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS asks for it
    import torch

    torch.use_deterministic_algorithms(True, warn_only=True)


def variable(name: str) -> str:
    """Return an environment variable whose name a command was given.

    Another database's URI is given in this way, so that it is in no shell's history.

    Raises
    ------
    ValueError
        If it is not set.
    """
    value = os.environ.get(name)
    if not value:
        raise ValueError(f"the environment variable {name} is not set")
    return value
