"""Read launcher files as FireWorks and jobflow do, and keep what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pymongo.errors import PyMongoError
from ruamel.yaml.error import YAMLError as FireWorksYAMLError

MAX_MESSAGE = 200
"""Characters of a library's message that are shown."""
UNREADABLE = (
    *(OSError, ImportError, AttributeError, LookupError, TypeError, ValueError),
    *(yaml.YAMLError, FireWorksYAMLError, PyMongoError),
)
"""What FireWorks and jobflow raise for a file that is not what they expect."""


@dataclass
class LauncherReport:
    """The problems of launcher files.

    Attributes
    ----------
    errors
        Lines on what keeps a campaign from running well.
    warnings
        Lines on what may keep it from that.
    """

    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def read(self, path: Path, reader: Callable[[Path], Any]) -> Any:
        """Return what a reader makes of a file; None, and an error, if it cannot be read."""
        try:
            return reader(path)
        except FileNotFoundError:
            self.errors.append(f"{path} is missing; `entropy-flows launchers` writes it")
        except UNREADABLE as err:
            message = " ".join(str(err).split())[:MAX_MESSAGE]
            self.errors.append(f"{path} cannot be read: {type(err).__name__}: {message}")
        return None


def read_mapping(path: Path) -> dict[str, Any]:
    """Read a file of settings as FireWorks does."""
    from monty.serialization import loadfn

    return loadfn(path)


def read_launchpad(path: Path) -> tuple[str, str]:
    """Read host and database name of a launchpad file as FireWorks does; nothing is connected."""
    from fireworks import LaunchPad

    pad = LaunchPad.from_file(str(path))
    pad.connection.close()
    if not pad.uri_mode:
        raise ValueError("expected uri_mode: true")
    return str(pad.host), str(pad.name)


def read_job_store(path: Path) -> Any:
    """Read the job store of a jobflow.yaml as jobflow does."""
    from jobflow.settings import JobflowSettings

    return JobflowSettings(CONFIG_FILE=str(path)).JOB_STORE


def read_category(path: Path) -> str:
    """Read the category of a worker file."""
    from fireworks import FWorker

    return str(FWorker.from_file(str(path)).category)


def read_adapter(path: Path) -> Any:
    """Read the adapter of a queue file, and see that it can make a batch script."""
    from fireworks.user_objects.queue_adapters.common_adapter import CommonAdapter
    from fireworks.utilities.fw_serializers import load_object

    data = yaml.safe_load(path.read_text())
    # FireWorks looks for a class by its name in all its modules, its tests among them
    if data["_fw_name"] == "CommonAdapter":
        adapter = CommonAdapter.from_dict(data)
    else:
        adapter = load_object(data)
    adapter.get_script_str(".")
    return adapter
