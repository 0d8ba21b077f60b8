"""What every stage's job shares: its identity, its failure as a row, and its stored output."""

from __future__ import annotations

import functools
import inspect
import time
import traceback
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any, NamedTuple, TypeVar

from jobflow import CURRENT_JOB, Job, JobStore, Maker, job
from pydantic import BaseModel

from entropy_flows import progress
from entropy_flows.allocator import keep_freed_memory
from entropy_flows.environments import processes_end_here
from entropy_flows.faults import is_machine_fault
from entropy_flows.potentials.loaded_models import keep_models
from entropy_flows.schemas import TrainDoc
from entropy_flows.settings import choose_algorithms
from entropy_flows.store import CampaignStore, stored_output
from entropy_flows.store.entry import NAMESPACE
from entropy_flows.store.running import database_of_job

DocumentT = TypeVar("DocumentT", bound=BaseModel)


class LostInputError(RuntimeError):
    """A stage cannot do its work because one before it failed."""


@dataclass
class StageMaker(Maker):
    """Base of the Makers; only its fields can be set.

    A fact of several stages is held by the flow that makes their jobs, and handed to each job.
    A value written to a Maker that does not hold it would be lost without a word.

    Raises
    ------
    AttributeError
        If an attribute is set that is no field.
    """

    name: str = "stage"

    def __setattr__(self, name: str, value: Any) -> None:
        names = [item.name for item in fields(self)]
        if name not in names:
            raise AttributeError(
                f"{type(self).__name__} has no field {name!r}; its fields: {', '.join(names)}"
            )
        super().__setattr__(name, value)


class JobKey(NamedTuple):
    """Identity of a stage's job."""

    campaign: str
    iteration: int
    batch: int | None

    @classmethod
    def from_arguments(cls, arguments: dict[str, Any]) -> JobKey:
        """Read the key off a job's arguments: its `context`, or `campaign` and `iteration`."""
        context = arguments.get("context")
        batch = arguments.get("batch")
        if context is None:
            return cls(arguments["campaign"], arguments["iteration"], batch)
        return cls(context.campaign, context.iteration, batch)

    def label(self, stage: str) -> str:
        """Name the job among those of its iteration, such as `explore/3`."""
        return stage if self.batch is None else f"{stage}/{self.batch}"

    def name(self, new_job: Job, stage: str) -> Job:
        """Give a job the uuid that follows from this key and its stage."""
        batch = () if self.batch is None else (self.batch,)
        return with_stable_uuid(new_job, self.campaign, self.iteration, *batch, name=stage)


def stage_job(
    schema: type[BaseModel], adds_jobs: bool = False, stable_uuid: bool = True
) -> Callable[[Callable], Callable[..., Job]]:
    """Turn a Maker's `make(self, context, …)` into a stage's job.

    The job's uuid follows from campaign, iteration, the Maker's name and the argument `batch`, if
    there is one. Built twice, it is the same job.

    A stage that fails for a reason of its own leaves a row in `failures` and ends with the output
    None. The stages after it take that for a lost input, and the last one ends the campaign with
    the reason. A fault of the machine is raised: the job is then run again. Arrays go to the
    `data` store, the wall time to the iteration's document.

    Parameters
    ----------
    schema
        Document that the stage returns, which is the job's `output_schema`.
    adds_jobs
        Whether it adds other jobs. It then does its work when it is run again, so as to add the
        same ones; any other returns its stored output.
    stable_uuid
        False for what people ask for again and again. Each request is a job of its own, and
        decides itself what is left to do.
    """

    def decorate(method: Callable) -> Callable[..., Job]:
        signature = inspect.signature(method)

        @functools.wraps(method)
        def run(self: Any, *args: Any, **kwargs: Any) -> Any:
            key = JobKey.from_arguments(signature.bind(self, *args, **kwargs).arguments)
            with _running_in_its_store():
                if not adds_jobs:
                    output = stored_output(current_uuid(), CURRENT_JOB.store)
                    stored = document(schema, output)
                    if stored is not None:
                        return stored
                return _run_stage(self.name, key, lambda: method(self, *args, **kwargs))

        make_job = job(run, data="trajectories", output_schema=schema)

        @functools.wraps(method)
        def make(self: Any, *args: Any, **kwargs: Any) -> Job:
            new_job: Job = make_job(self, *args, **kwargs)
            new_job.config.expose_store = True
            if not stable_uuid:
                return new_job
            key = JobKey.from_arguments(signature.bind(self, *args, **kwargs).arguments)
            return key.name(new_job, self.name)

        make.original = run  # type: ignore[attr-defined]  # what jobflow calls when the job is run
        return make

    return decorate


def _run_stage(stage: str, key: JobKey, work: Callable[[], Any]) -> Any:
    """Do a stage's work; a failure of its own becomes a row and the output None."""
    store = CampaignStore.open(key.campaign)
    uuid = current_uuid()
    label = key.label(stage)
    started = time.perf_counter()
    progress.begin(key.iteration, label)
    choose_algorithms()
    keep_freed_memory()
    try:
        with processes_end_here() as processes, keep_models():
            result = work()
    except LostInputError:
        return _no_output()  # the stage that lost it has recorded why
    except Exception as err:
        if is_machine_fault(err):
            raise
        traceback.print_exc()
        store.add_failure(key.iteration, stage, label, uuid, f"{type(err).__name__}: {err}")
        return _no_output()
    store.delete_failures([uuid])
    store.record_environments(key.iteration, processes)
    seconds = time.perf_counter() - started
    store.record_seconds(key.iteration, label, seconds)
    return result


@contextmanager
def _running_in_its_store() -> Iterator[None]:
    """Use the database of the running job's JobStore, and its `data` store if it has one."""
    store: JobStore | None = CURRENT_JOB.store
    running: Job | None = CURRENT_JOB.job
    if store is not None and running is not None:
        names: dict[str, Any] = store.additional_stores  # type: ignore[has-type]
        if "data" not in names:
            running._kwargs = {}  # arrays then stay in the output's document
    with database_of_job(store):
        yield


def _no_output() -> None:
    """Let the running job end without a document, which jobflow refuses where a schema is set."""
    if CURRENT_JOB.job is not None:
        CURRENT_JOB.job.output_schema = None  # type: ignore[assignment]


def campaign_job(
    schema: type[BaseModel], name: str | None = None
) -> Callable[[Callable], Callable[..., Job]]:
    """Turn a Maker's `make(self, context, …)` into a job that begins or ends a campaign.

    It does its work whenever it is run, since a repaired stage may have changed what it finds.
    Any failure is raised: no other job could tell of it.

    Parameters
    ----------
    schema
        Document that the job returns.
    name
        Name of the job; None takes the Maker's.
    """

    def decorate(method: Callable) -> Callable[..., Job]:
        signature = inspect.signature(method)

        @functools.wraps(method)
        def run(self: Any, *args: Any, **kwargs: Any) -> Any:
            key = JobKey.from_arguments(signature.bind(self, *args, **kwargs).arguments)
            progress.begin(key.iteration, name or self.name)
            with _running_in_its_store():
                return method(self, *args, **kwargs)

        make_job = job(run, output_schema=schema)

        @functools.wraps(method)
        def make(self: Any, *args: Any, **kwargs: Any) -> Job:
            new_job: Job = make_job(self, *args, **kwargs)
            new_job.config.expose_store = True
            new_job.name = name or self.name  # jobflow would take the name of a flow's Maker
            key = JobKey.from_arguments(signature.bind(self, *args, **kwargs).arguments)
            return key.name(new_job, new_job.name)

        make.original = run  # type: ignore[attr-defined]  # what jobflow calls when the job is run
        return make

    return decorate


def current_uuid() -> str:
    """Return the running job's uuid; "local" outside of one."""
    running = CURRENT_JOB.job
    return "local" if running is None else str(running.uuid)


def with_stable_uuid(
    new_job: Job, campaign: str, iteration: int, *key: Any, name: str | None = None
) -> Job:
    """Give a job the uuid that follows from campaign, iteration, name and `key`.

    Emitted twice, it is the same job. `name` is the stage's, where the job's own says more.
    """
    new_job.set_uuid(stable_uuid(campaign, iteration, name or new_job.name, *key))
    return new_job


def stable_uuid(campaign: str, iteration: int, stage: str, *key: Any) -> str:
    """Return the uuid of a stage's job that has this key within its iteration."""
    identity = ("job", campaign, iteration, stage, *key)
    return str(uuid.uuid5(NAMESPACE, "/".join(map(str, identity))))


def document(schema: type[DocumentT], value: Any) -> DocumentT | None:
    """Return a resolved reference as the document it was; None if its job was lost."""
    if value is None or isinstance(value, schema):
        return value
    data = value.model_dump() if isinstance(value, BaseModel) else value
    return schema.model_validate({k: v for k, v in data.items() if not k.startswith("@")})


def training_of(value: Any, purpose: str) -> TrainDoc:
    """Return a resolved reference to a training as its document.

    Raises
    ------
    LostInputError
        If training left no model for the purpose.
    """
    training = document(TrainDoc, value)
    if training is None:
        raise LostInputError(f"training failed, so there is no new model to {purpose}")
    return training


def documents(schema: type[DocumentT], values: Iterable[Any]) -> list[DocumentT]:
    """Return resolved references as documents, without those of lost jobs."""
    resolved = (document(schema, value) for value in values)
    return [item for item in resolved if item is not None]


def outputs(jobs: Iterable[Job]) -> list[Any]:
    """Return the references to the outputs of jobs."""
    return [new_job.output for new_job in jobs]
