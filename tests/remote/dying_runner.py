"""A runner of jobflow-remote that kills itself: `python -m remote.dying_runner PLACE`."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from jobflow_remote.jobs import jobcontroller
from jobflow_remote.jobs.jobcontroller import JobController
from jobflow_remote.jobs.runner import Runner
from jobflow_remote.remote.queue import QueueManager
from pymongo.collection import Collection

PLACES = {
    "submitted": (QueueManager, "submit", "after"),
    "stored": (jobcontroller, "update_store", "after"),
    "adding": (Collection, "insert_many", "before"),
    "added": (Collection, "insert_many", "after"),
    "ended": (JobController, "refresh_children", "before"),
}
"""Place → what is called there, and on which side of the call the runner dies.

    submitted    the queue has a job, its document says nothing of it
    stored       a job's output is stored, its document says nothing of it
    adding       a flow has jobs that are not there
    added        the jobs that a job adds are there, the job has not ended
    ended        a job has ended, the jobs after it wait
"""


def main(place: str) -> None:
    owner, name, side = PLACES[place]
    original = getattr(owner, name)

    def dying(*args: Any, **kwargs: Any) -> Any:
        if isinstance(args[0], Collection) and args[0].name != "jobs":
            return original(*args, **kwargs)
        if side == "after":
            original(*args, **kwargs)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, name, dying)
    Runner("site").run()


if __name__ == "__main__":
    main(sys.argv[1])
