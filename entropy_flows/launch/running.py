"""The job that this process works on, whichever workflow manager it is of.

What happens to such a process is the same under every manager: the database goes away and comes
back, the job is given to another worker, or a newer package has taken over its campaign.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from pymongo.errors import ConnectionFailure

from entropy_flows.settings import settings
from entropy_flows.store import CampaignStore, UnreachableError, connect
from entropy_flows.store.holds import hold_of
from entropy_flows.store.schema import refuse_old_worker

if TYPE_CHECKING:
    from pymongo.database import Database

    from entropy_flows.store.fence import LaunchLostError

RETRY_SECONDS = 2.0
"""Time between two attempts to reach a database that went away."""
T = TypeVar("T")


class RunningJob(Protocol):
    """A job that this process works on, as its workflow manager lets it be written of."""

    @property
    def name(self) -> str:
        """Name of the job, for people."""

    @property
    def database(self) -> Database:
        """The database of its campaign."""

    def is_ours(self) -> bool:
        """Return True if the job still runs as the launch that this process works on."""

    def ping(self) -> None:
        """Give a sign of life."""

    def write_progress(self, progress: dict[str, Any]) -> None:
        """Write how far the job is, for whoever watches, unless it is another launch's by now."""


def retry_on_disconnect(work: Callable[[], T]) -> T:
    """Do something that can be done again, however often the database goes away meanwhile.

    Raises
    ------
    ConnectionFailure, UnreachableError
        If the database stays away for longer than the settings' patience.
    """
    while True:
        try:
            return work()
        except (ConnectionFailure, UnreachableError) as err:
            message = f"the database went away ({type(err).__name__}); waiting for it"
            print(message, file=sys.stderr, flush=True)
            _await_database(err)


def abandon(lost: LaunchLostError) -> None:
    """End this process: another worker does, or has done, what it still does."""
    print(f"{lost}: it was given to another worker; this one ends", file=sys.stderr, flush=True)
    exit_now(1)


def exit_now(code: int) -> None:
    """End the process at once: a manager would take any exception for a failure of the job."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def refuse_old_package(campaign: str) -> None:
    """Raise an error if a newer package has submitted or continued the campaign."""
    refuse_old_worker(CampaignStore.open(campaign).document())


def may_begin(campaign: str) -> bool:
    """Look at the campaign before a job is begun; return False if no job of it may start.

    Raises
    ------
    OldWorkerError
        If a newer package has submitted or continued the campaign.
    """
    document = CampaignStore.open(campaign).document()
    refuse_old_worker(document)
    hold = hold_of(document)
    return hold is None or not hold.keeps_jobs


def is_held(campaign: str) -> bool:
    """Return True if no job of the campaign may start."""
    hold = CampaignStore.open(campaign).hold()
    return hold is not None and hold.keeps_jobs


def _await_database(error: ConnectionFailure | UnreachableError) -> None:
    """Return when the database answers again; raise the error after the settings' patience."""
    deadline = time.monotonic() + settings().patience
    while True:
        time.sleep(RETRY_SECONDS)
        try:
            connect(timeout_ms=1000).client.close()
            return
        except UnreachableError:
            if time.monotonic() > deadline:
                raise error from None
