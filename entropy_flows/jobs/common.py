"""What every stage's job shares: its identity, how it takes a lost input, how its failure is recorded."""

from __future__ import annotations

import functools
import inspect
import time
import uuid
from collections.abc import Callable
from typing import Any, TypeVar

from jobflow import Job, JobConfig, OnMissing, job
from pydantic import BaseModel

from entropy_flows.store import CampaignStore
from entropy_flows.store.ledger import NAMESPACE

DocumentT = TypeVar("DocumentT", bound=BaseModel)


class LostInputError(RuntimeError):
    """A stage cannot do its work because one before it failed."""


def stage_job(schema: type[BaseModel]) -> Callable[[Callable], Callable[..., Job]]:
    """Turn a Maker's `make(self, campaign, iteration, …)` into a stage's job.

    A lost input arrives as None instead of stopping the chain (a failed stage is told to the last job, which ends the
    campaign with its reason), arrays go to the `data` store, wall time and failure go to the iteration's document.
    """

    def decorate(method: Callable) -> Callable[..., Job]:
        signature = inspect.signature(method)

        @functools.wraps(method)
        def run(self: Any, *args: Any, **kwargs: Any) -> Any:
            bound = signature.bind(self, *args, **kwargs).arguments
            store, iteration = CampaignStore.open(bound["campaign"]), bound["iteration"]
            started = time.perf_counter()
            try:
                result = method(self, *args, **kwargs)
            except LostInputError:
                raise  # the stage that lost it has told why
            except Exception as err:
                reason = f"{type(err).__name__}: {err}"
                store.record(iteration, failure={"stage": self.name, "message": reason[:2000]})
                raise
            place = f"{self.name}/{bound['batch']}" if "batch" in bound else self.name
            store.record(iteration, **{f"seconds.{place.replace('.', '_')}": time.perf_counter() - started})
            return result

        config = JobConfig(on_missing_references=OnMissing.NONE)
        return job(run, data="trajectories", output_schema=schema, config=config)

    return decorate


def identified(made: Job, campaign: str, iteration: int, *place: Any) -> Job:
    """Give a job the uuid that follows from its place in the campaign: emitted twice, it is the same job."""
    made.set_uuid(str(uuid.uuid5(NAMESPACE, "/".join(map(str, ("job", campaign, iteration, made.name, *place))))))
    return made


def document(schema: type[DocumentT], value: Any) -> DocumentT | None:
    """A resolved reference as the document it was; None if its job was lost."""
    if value is None or isinstance(value, schema):
        return value
    data = value.model_dump() if isinstance(value, BaseModel) else value
    return schema.model_validate({k: v for k, v in data.items() if not k.startswith("@")})
