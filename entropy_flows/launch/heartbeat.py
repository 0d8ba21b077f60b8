"""Give a running job's signs of life, and end its process when the job is to run here no more.

It was given to another worker, or its campaign is paused, or cancelled, at once (`store.holds`).
The latter is a SIGTERM as of a queue: the job saves its work and is given back.

FireWorks' own ping dies with the first write that fails, for instance while the database restarts,
and jobflow-remote's jobs give none. Such a job looks lost for as long as it still runs.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from types import TracebackType

from pymongo.errors import PyMongoError

from entropy_flows.launch.job_log import WRITE_SECONDS, JobLog
from entropy_flows.launch.running import RunningJob
from entropy_flows.settings import settings
from entropy_flows.store import CampaignStore


class Heartbeat:
    """Ping a launch from a thread, write the job's progress, and look whether it is to stop.

    Parameters
    ----------
    job
        The job that this process works on.
    log
        The job's log, which knows its progress.
    campaign
        Name of the job's campaign.
    """

    def __init__(self, job: RunningJob, log: JobLog, campaign: str):
        self.job = job
        self.log = log
        self.campaign = campaign
        self._asked_to_end = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        heartbeat = settings().heartbeat
        next_ping = time.monotonic() + heartbeat
        while not self._stop.wait(min(WRITE_SECONDS, heartbeat)):
            try:
                self.log.write()
                self._end_if_held()
                if time.monotonic() >= next_ping:
                    next_ping = time.monotonic() + heartbeat
                    self._ping()
            except (PyMongoError, ValueError):
                # FireWorks raises ValueError for a launch that is not there
                continue

    def _ping(self) -> None:
        """Give a sign of life, unless the job is another launch's by now."""
        if not self.job.is_ours():
            self.abandon()
        self.job.ping()

    def _end_if_held(self) -> None:
        """Ask the main thread to save the job and end, if its campaign is held at once."""
        if self._asked_to_end:
            return
        hold = CampaignStore(self.job.database, self.campaign).hold()
        if hold is not None and hold.keeps_jobs and hold.now:
            self._asked_to_end = True
            # to that thread, so that it does not go on waiting for a program that it has started
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)

    def abandon(self) -> None:
        """End this process: another one does what it still does."""
        message = f"{self.job.name} was given to another worker; this one ends"
        print(message, file=sys.stderr, flush=True)
        os._exit(1)
