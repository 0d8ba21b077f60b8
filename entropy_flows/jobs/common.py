"""What every stage's job shares: its identity, its failure as a row, and its stored output when it is run again."""

from __future__ import annotations

import functools
import inspect
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from jobflow import CURRENT_JOB, Job, Maker, job
from pydantic import BaseModel

from entropy_flows.faults import is_machine_fault
from entropy_flows.store import CampaignStore, stored_output
from entropy_flows.store.ledger import NAMESPACE

DocumentT = TypeVar("DocumentT", bound=BaseModel)


class LostInputError(RuntimeError):
    """A stage cannot do its work because one before it failed."""


@dataclass
class StageMaker(Maker):
    """Base of the Makers: a field that there is not cannot be set.

    What is one fact for several stages is held by the flow that makes their jobs, and handed to
    each with its job. A value that was written to a Maker which does not hold it would be lost
    without a word.

    Raises
    ------
    AttributeError
        If an attribute is set that is no field.
    """

    name: str = "stage"

    def __setattr__(self, name: str, value: Any) -> None:
        known = [each.name for each in fields(self)]
        if name not in known:
            raise AttributeError(
                f"{type(self).__name__} has no field {name!r}; its fields: {', '.join(known)}"
            )
        super().__setattr__(name, value)


def stage_job(
    schema: type[BaseModel], adds_jobs: bool = False, stable_uuid: bool = True
) -> Callable[[Callable], Callable[..., Job]]:
    """Turn a Maker's `make(self, campaign, iteration, …)` into a stage's job.

    The job's uuid follows from campaign, iteration, the Maker's name and, where there is one, the
    argument `batch`: made twice, it is the same job.

    A stage that fails for a reason of its own leaves a row in `failures` and ends with the output
    None, which the stages after it take for a lost input; the last one ends the campaign with the
    reason. What the machine did wrong is raised: the job is then run again. Arrays go to the `data`
    store, the wall time to the iteration's document.

    Parameters
    ----------
    schema
        Document that the stage returns.
    adds_jobs
        Whether it adds other jobs: it then does its work when it is run again, so as to add the
        same ones. Any other returns what it has stored.
    stable_uuid
        False for what people ask for again and again: each is a job of its own, and decides itself
        what is left to do.
    """

    def decorate(method: Callable) -> Callable[..., Job]:
        signature = inspect.signature(method)

        @functools.wraps(method)
        def run(self: Any, *args: Any, **kwargs: Any) -> Any:
            bound = signature.bind(self, *args, **kwargs).arguments
            store, iteration, uuid = (
                CampaignStore.open(bound["campaign"]),
                bound["iteration"],
                current_uuid(),
            )
            if not adds_jobs and (done := document(schema, stored_output(uuid))) is not None:
                return done
            place = f"{self.name}/{bound['batch']}" if "batch" in bound else self.name
            started = time.perf_counter()
            try:
                result = method(self, *args, **kwargs)
            except LostInputError:
                return None  # the stage that lost it has told why
            except Exception as err:
                if is_machine_fault(err):
                    raise
                store.add_failure(iteration, self.name, place, uuid, f"{type(err).__name__}: {err}")
                return None
            store.forget_failures([uuid])
            store.record(
                iteration, **{f"seconds.{place.replace('.', '_')}": time.perf_counter() - started}
            )
            return result

        make_job = job(run, data="trajectories")

        @functools.wraps(method)
        def make(self: Any, *args: Any, **kwargs: Any) -> Job:
            bound = signature.bind(self, *args, **kwargs).arguments
            batch = [bound["batch"]] if "batch" in bound else []
            made: Job = make_job(self, *args, **kwargs)
            if not stable_uuid:
                return made
            return with_stable_uuid(made, bound["campaign"], bound["iteration"], *batch)

        make.original = run  # type: ignore[attr-defined]  # what jobflow calls when the job is run
        return make

    return decorate


def current_uuid() -> str:
    """The running job's uuid; "local" outside of one."""
    running = CURRENT_JOB.job
    return "local" if running is None else str(running.uuid)


def with_stable_uuid(made: Job, campaign: str, iteration: int, *key: Any) -> Job:
    """Give a job the uuid that follows from campaign, iteration, name and `key`: emitted twice, it is the same job."""
    made.set_uuid(
        str(
            uuid.uuid5(NAMESPACE, "/".join(map(str, ("job", campaign, iteration, made.name, *key))))
        )
    )
    return made


def document(schema: type[DocumentT], value: Any) -> DocumentT | None:
    """A resolved reference as the document it was; None if its job was lost."""
    if value is None or isinstance(value, schema):
        return value
    data = value.model_dump() if isinstance(value, BaseModel) else value
    return schema.model_validate({k: v for k, v in data.items() if not k.startswith("@")})
