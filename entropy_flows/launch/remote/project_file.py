"""Write a project of jobflow-remote for campaigns: its workers, its stores, its runner."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from entropy_flows.launch.remote.project import PROGRAM
from entropy_flows.store.remote_stores import AUXILIARY, FLOWS

STORES = "entropy_flows.store.remote_stores"
HEADER = """\
# A project of jobflow-remote for campaigns, written by `entropy-flows project`; edit it freely.
# A worker for each category of stages: gpu explores and trains, dft labels, cpu does the rest.
# The database is that of ENTROPY_FLOWS_URI, or of ~/.entropy_flows.yaml: no password is here.
# Where a worker is another machine: type: remote, host: …, and the Python of that machine.
"""


@dataclass(frozen=True)
class ProjectFile:
    """Hold what the file of a project says.

    Attributes
    ----------
    name
        Name of the project.
    work_dir
        Folder of the jobs' files, which workers of this machine share.
    scheduler
        What starts jobs: shell for processes of this machine, slurm, pbs or sge for a queue.
    categories
        Names of the workers.
    resources
        Category → what its jobs ask of the queue, in jobflow-remote's words.
    python
        Python that runs the jobs.
    seconds
        Time between two looks of the runner.
    max_jobs
        Jobs of a worker at once; None for any number.
    """

    name: str
    work_dir: Path
    scheduler: str = "shell"
    categories: Sequence[str] = ("cpu", "gpu", "dft")
    resources: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    python: str = sys.executable
    seconds: int = 10
    max_jobs: int | None = None

    def text(self) -> str:
        """Return the file's text."""
        content = {
            "name": self.name,
            "workers": {category: self._worker(category) for category in self.categories},
            "queue": {
                "store": _stored("ConfiguredQueue"),
                "flows_collection": FLOWS,
                "auxiliary_collection": AUXILIARY,
            },
            "jobstore": {
                "@module": "jobflow.core.store",
                "@class": "JobStore",
                "docs_store": _stored("ConfiguredOutputs"),
                "additional_stores": {"data": _stored("ConfiguredArrays")},
            },
            "runner": {
                "delay_checkout": self.seconds,
                "delay_check_run_status": self.seconds,
                "delay_advance_status": self.seconds,
                "delay_ping_db": 60,
            },
        }
        return HEADER + yaml.safe_dump(content, sort_keys=False, width=100)

    def _worker(self, category: str) -> dict[str, Any]:
        worker: dict[str, Any] = {
            "type": "local",
            "scheduler_type": self.scheduler,
            "work_dir": str(self.work_dir),
            "execution_cmd": f"{self.python} -m {PROGRAM} {{}}",
        }
        if self.max_jobs is not None:
            worker["max_jobs"] = self.max_jobs
        if self.resources.get(category):
            worker["resources"] = dict(self.resources[category])
        return worker

    def write(self, folder: Path, overwrite: bool = False) -> Path:
        """Write the file into jobflow-remote's folder of projects; return its path.

        Raises
        ------
        ValueError
            If the project is there.
        """
        path = folder / f"{self.name}.yaml"
        if path.exists() and not overwrite:
            raise ValueError(f"{path} exists; --overwrite replaces it")
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(self.text())
        return path


def projects_folder() -> Path:
    """Return jobflow-remote's folder of projects.

    Raises
    ------
    StoreError
        If jobflow-remote is not installed.
    """
    try:
        from jobflow_remote import SETTINGS
    except ImportError:
        from entropy_flows.store import StoreError

        raise StoreError(
            "jobflow-remote is not installed here: pip install 'entropy_flows[remote]'"
        ) from None
    return Path(SETTINGS.projects_folder).expanduser()


def _stored(name: str) -> dict[str, str]:
    return {"@module": STORES, "@class": name}
