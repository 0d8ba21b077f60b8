"""How far a job is, told to whoever runs it: a worker, a test, or nobody.

A stage's code calls `report` as often as it likes. What is done with it is the listener's affair. A
worker's listener writes a line now and then, and what people see in `status` and `run`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class JobProgress:
    """Tell how far a job is.

    Attributes
    ----------
    done, total
        Number of steps, labels, epochs or candidates that are done, and of all.
    unit
        Word for what is counted, in the plural.
    note
        Whatever else people want to know, such as the loss after an epoch.
    """

    done: int
    total: int
    unit: str
    note: str = ""

    def __str__(self) -> str:
        return f"{self.done} of {self.total} {self.unit}{self.note and f', {self.note}'}"


class ProgressListener(Protocol):
    """Listen to a job's progress."""

    def begin(self, iteration: int, title: str) -> None:
        """Hear that a stage's work begins.

        Parameters
        ----------
        iteration
            Number of the iteration.
        title
            Name of the job among those of its iteration, such as `explore/3`.
        """

    def update(self, progress: JobProgress) -> None:
        """Hear how far the job is; called from its innermost loop, so it must cost nothing."""


_listener: ContextVar[ProgressListener | None] = ContextVar("_listener", default=None)


@contextmanager
def heard_by(listener: ProgressListener) -> Iterator[None]:
    """Tell a listener what the jobs in the block report."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def begin(iteration: int, title: str) -> None:
    """Report that a stage's work begins; arguments as of `ProgressListener.begin`."""
    listener = _listener.get()
    if listener is not None:
        listener.begin(iteration, title)


def report(done: int, total: int, unit: str, note: str = "") -> None:
    """Report how far the running job is; arguments as of `JobProgress`."""
    listener = _listener.get()
    if listener is not None:
        listener.update(JobProgress(done, total, unit, note))


def duration(seconds: float) -> str:
    """Write a number of seconds in the unit that suits it."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
