"""A FireWorks worker of this machine: `python -m … NAME CAMPAIGN FOLDER [--wait] [MODEL]`.

It is `rlaunch rapidfire` with the launchpad of this package's settings, limited to one campaign.
While it has no job it imports and loads what its jobs will need, MODEL first. With --wait it does
so until a line comes in, before which it takes no job and asks no database.
"""

from __future__ import annotations

import os
import select
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from entropy_flows.launch.preload import Preload

POLL_SECONDS = 1
GIVEN_BACK = 75
"""Exit code of a worker that was asked to end and has given its job back."""
WAIT = "--wait"


def main(name: str, campaign: str, folder: str, *options: str) -> None:
    """Take jobs of one campaign until stopped."""
    from entropy_flows.launch.preload import Preload

    models = [option for option in options if option != WAIT]
    preload = Preload(campaign, *models)
    if WAIT in options:
        _wait(preload)
    from fireworks import FWorker
    from fireworks.core.rocket_launcher import rapidfire

    from entropy_flows.launch.job_log import WorkerLog
    from entropy_flows.launch.worker_launchpad import worker_launchpad

    # FireWorks sends what a job prints to a file in the job's folder, and this log would be empty.
    WorkerLog.stream = os.fdopen(os.dup(sys.stdout.fileno()), "a")
    os.makedirs(folder, exist_ok=True)
    worker = FWorker(name=name, query={"spec.campaign": campaign})
    launchpad = worker_launchpad()
    preload.add_what_is_stored()
    while True:
        # all jobs that are ready, and a second's sleep
        rapidfire(
            launchpad,
            worker,
            m_dir=folder,
            nlaunches="infinite",
            max_loops=1,
            sleep_time=POLL_SECONDS,
            strm_lvl="ERROR",
            local_redirect=True,
        )
        preload.next()


def _wait(preload: Preload) -> None:
    """Import and load until a line comes in; end the process with whoever would write it."""
    seconds: float = 0
    while not select.select([sys.stdin], [], [], seconds)[0]:
        seconds = 0 if preload.next() else POLL_SECONDS
    if not sys.stdin.readline():
        sys.exit()


if __name__ == "__main__":
    main(*sys.argv[1:])
