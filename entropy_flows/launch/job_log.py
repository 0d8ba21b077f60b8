"""What a job that runs writes of itself: lines in its log, and its progress in its launch.

The progress is for people who watch. When the workflow manager writes the launch's end it leaves
with it, so nothing is left to be verified or deleted.
"""

from __future__ import annotations

import time
from collections import deque
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any

from entropy_flows.progress import JobProgress, duration

if TYPE_CHECKING:
    from entropy_flows.launch.running import RunningJob

WRITE_SECONDS = 3.0
"""Time between two writes of a job's progress."""
SIGN_SECONDS = 15.0
"""Time after which the same progress is written again, as a sign of life."""
LINE_SECONDS = 60.0
"""Time between two lines of progress in a job's log."""
RATE_WRITES = 20
"""Writes that the rate is taken over."""


class WorkerLog:
    """The log of this worker, where the output of its jobs goes to files of their own."""

    stream: IO[str] | None = None


class JobLog:
    """Log of one job, and a listener to its progress (`progress.ProgressListener`).

    Parameters
    ----------
    job
        The job that this process works on; its name stands until its stage has said a better one.
    """

    def __init__(self, job: RunningJob):
        self.job = job
        self.title = job.name
        self.iteration: int | None = None
        self._started = time.monotonic()
        self._progress: JobProgress | None = None
        self._written: tuple[Any, ...] | None = None
        self._written_at = self._started
        self._line_at = self._started
        self._times: deque[tuple[float, int]] = deque(maxlen=RATE_WRITES)

    def begin(self, iteration: int, title: str) -> None:
        """Take the job's title, and write that its work begins."""
        self.iteration = iteration
        self.title = title
        self.say(f"begins, iteration {iteration}")

    def update(self, progress: JobProgress) -> None:
        """Take note of the progress; it is written by `write`, from another thread."""
        self._progress = progress

    def end(self, what: str = "done") -> None:
        """Write how the job ended, and how long it took."""
        progress = self._progress
        far = f" ({progress})" if progress is not None else ""
        self.say(f"{what} after {duration(time.monotonic() - self._started)}{far}")

    def write(self) -> None:
        """Write what is new of the progress into the launch, and now and then into the log."""
        progress = self._progress
        if progress is not None:
            self._times.append((time.monotonic(), progress.done))
        now = (self.title, self.iteration, progress)
        is_due = time.monotonic() - self._written_at >= SIGN_SECONDS
        if now != self._written or is_due:
            self.job.write_progress(self._document(progress))
            self._written = now
            self._written_at = time.monotonic()
        if progress is not None and time.monotonic() - self._line_at >= LINE_SECONDS:
            self._line_at = time.monotonic()
            rate = self._rate()
            self.say(f"{progress}{'' if rate is None else f', {rate:.3g} {progress.unit}/s'}")

    def say(self, words: str) -> None:
        """Write a line with the time and the job's title into its log and the worker's."""
        line = f"{time.strftime('%Y-%m-%d %H:%M:%S')} {self.title}: {words}"
        print(line, flush=True)
        if WorkerLog.stream is not None:
            print(line, file=WorkerLog.stream, flush=True)

    def _document(self, progress: JobProgress | None) -> dict[str, Any]:
        """Build the launch's field `progress`."""
        document: dict[str, Any] = {"updated": datetime.now(UTC)}
        if self.iteration is not None:
            document |= {"title": self.title, "iteration": self.iteration}
        if progress is None:
            return document
        counts = {"done": progress.done, "total": progress.total}
        words = {"unit": progress.unit, "note": progress.note}
        return {**document, **counts, **words, "rate": self._rate()}

    def _rate(self) -> float | None:
        """Return what is done in a second, over the last minute; None if that is not known yet."""
        if len(self._times) < 2:
            return None
        (start, first), (end, last) = self._times[0], self._times[-1]
        return (last - first) / (end - start) if last > first else None
