"""A project of jobflow-remote, checked for what a campaign needs of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from entropy_flows.store import StoreError
from entropy_flows.store.remote_stores import ConfiguredQueue

if TYPE_CHECKING:
    from jobflow import Job
    from jobflow_remote import JobController
    from jobflow_remote.config.base import Project

PROGRAM = "entropy_flows.launch.remote.job"
"""Module that a worker runs a job by."""
SLURM_NAMES = {"walltime": "time", "queue": "partition", "license": "licenses"}
"""Key of a campaign's section `queue` → SLURM's name for it, where that is another one."""


@dataclass(frozen=True)
class WorkerFacts:
    """Tell what jobs ask of a worker's queue, and what they can ask for.

    Attributes
    ----------
    scheduler
        Such as slurm, pbs or shell.
    resources
        What every job asks of the queue.
    keys
        What a job can ask of the queue.
    """

    scheduler: str
    resources: dict[str, Any]
    keys: tuple[str, ...]

    def with_changes(self, changes: Mapping[str, Any], where: str) -> dict[str, Any] | None:
        """Return what a job with these changes asks of the queue; None for the worker's own.

        Raises
        ------
        ValueError
            If the queue has no such key.
        """
        if not changes or self.scheduler == "shell":
            return None
        names = SLURM_NAMES if self.scheduler == "slurm" else {}
        resources = dict(self.resources)
        for key, value in changes.items():
            name = names.get(key, key)
            if name not in self.keys:
                raise ValueError(
                    f"queue: {where} asks for {key!r}, which jobflow-remote's {self.scheduler} "
                    f"does not have; it has {', '.join(sorted(self.keys))}"
                )
            resources[name] = value
        return resources


@dataclass(frozen=True)
class RemoteProject:
    """A project of jobflow-remote on the database of this machine's settings.

    Attributes
    ----------
    project
        Its configuration.
    controller
        What changes its jobs.
    """

    project: Project
    controller: JobController

    @classmethod
    def open(cls, name: str | None) -> RemoteProject:
        """Open a project by its name; None takes jobflow-remote's usual one.

        Raises
        ------
        StoreError
            If jobflow-remote is not installed, there is no such project, or it will not do for a
            campaign.
        """
        try:
            from jobflow_remote.config.base import ConfigError
            from jobflow_remote.config.manager import ConfigManager
        except ImportError:
            raise StoreError(
                "jobflow-remote is not installed here: pip install 'entropy_flows[remote]'"
            ) from None
        manager = ConfigManager(warn=False)
        try:
            project = manager.get_project(name)
        except ConfigError as err:
            files = f"{manager.projects_folder}/{name or 'NAME'}.yaml"
            reason = str(err).strip().splitlines()[-1]
            raise StoreError(
                f"no project of jobflow-remote to submit to ({reason}); "
                f"`entropy-flows project {name or 'NAME'}` writes {files}"
            ) from None
        _check_stores(project)
        return cls(project, project.get_job_controller())

    def worker_facts(self) -> dict[str, dict[str, Any]]:
        """Return the name of each worker → its `WorkerFacts` as a mapping."""
        from qtoolkit.core.data_objects import QResources
        from qtoolkit.io.base import QTemplate

        facts = {}
        for name, worker in self.project.workers.items():
            scheduler = worker.get_scheduler_io()
            kind = type(scheduler).__name__.removesuffix("IO").lower()
            resources = worker.resources or {}
            if isinstance(resources, QResources):
                resources = resources.as_dict()
            keys = sorted(QTemplate(scheduler.header_template).get_identifiers())
            facts[name] = {"scheduler": kind, "resources": dict(resources), "keys": keys}
        return facts

    def check_workers(self, categories: Iterable[str]) -> None:
        """Refuse a project that has no worker for a category, or one that runs jobs otherwise.

        Raises
        ------
        StoreError
            Naming the worker, and what was expected.
        """
        for category in sorted(set(categories)):
            worker = self.project.workers.get(category)
            if worker is None:
                names = ", ".join(sorted(self.project.workers)) or "none"
                raise StoreError(
                    f"project {self.project.name!r} has no worker {category!r}, which stages of "
                    f"this campaign ask for (`categories`); its workers: {names}"
                )
            if PROGRAM not in (worker.execution_cmd or ""):
                raise StoreError(
                    f"project {self.project.name!r}: worker {category!r} runs jobs by "
                    f"{worker.execution_cmd or 'jf'!r}; expected execution_cmd: "
                    f"'python -m {PROGRAM} {{}}' with the Python of that worker"
                )


def translate(job: Job, facts: Mapping[str, Mapping[str, Any]]) -> None:
    """Put a job's category and what it asks of the queue into jobflow-remote's words.

    Parameters
    ----------
    job
        A job with the configuration that `flows.queues` has given it.
    facts
        Name of each worker → its `WorkerFacts` as a mapping.

    Raises
    ------
    ValueError
        If there is no worker for the job, or its queue has no such key.
    """
    config = job.config.manager_config
    category = config.get("category")
    if category is None:
        return
    if category not in facts:
        names = ", ".join(sorted(facts)) or "none"
        raise ValueError(f"job {job.name!r} needs a worker {category!r}; there are: {names}")
    worker = WorkerFacts(**facts[category])
    resources = worker.with_changes(config.get("queue", {}), job.name)
    translated: dict[str, Any] = {"worker": category}
    if resources is not None:
        translated["resources"] = resources
    job.config.manager_config = translated


def _check_stores(project: Project) -> None:
    """Refuse a project whose jobs or outputs lie elsewhere than the campaigns."""
    from entropy_flows.store.job_stores import Arrays, Outputs

    name = project.name
    hint = f"`entropy-flows project {name}` writes a project that does"
    if not isinstance(project.get_queue_store(), ConfiguredQueue):
        raise StoreError(
            f"project {name!r} keeps its jobs in a store of its own; a campaign needs them beside "
            f"its documents, in ConfiguredQueue of entropy_flows.store.remote_stores; {hint}"
        )
    store = project.get_jobstore()
    arrays = None if store is None else store.additional_stores.get("data")
    if store is None or not isinstance(store.docs_store, Outputs) or not isinstance(arrays, Arrays):
        raise StoreError(
            f"project {name!r} keeps outputs in a store of its own; a campaign needs "
            f"ConfiguredOutputs, and ConfiguredArrays as `data`; {hint}"
        )
