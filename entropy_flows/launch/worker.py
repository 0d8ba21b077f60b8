"""A FireWorks worker of this machine: `python -m entropy_flows.launch.worker NAME CAMPAIGN FOLDER`.

It is `rlaunch rapidfire` with the launchpad of this package's settings, limited to one campaign.
"""

from __future__ import annotations

import os
import sys

POLL_SECONDS = 1
GIVEN_BACK = 75
"""Exit code of a worker that was asked to end and has given its job back."""


def main(name: str, campaign: str, folder: str) -> None:
    """Take jobs of one campaign until stopped."""
    from fireworks import FWorker
    from fireworks.core.rocket_launcher import rapidfire

    from entropy_flows.launch.job_log import WorkerLog
    from entropy_flows.launch.worker_launchpad import worker_launchpad

    # FireWorks sends what a job prints to a file in the job's folder, and this log would be empty.
    WorkerLog.stream = os.fdopen(os.dup(sys.stdout.fileno()), "a")
    os.makedirs(folder, exist_ok=True)
    worker = FWorker(name=name, query={"spec.campaign": campaign})
    rapidfire(
        worker_launchpad(),
        worker,
        m_dir=folder,
        nlaunches="infinite",
        sleep_time=POLL_SECONDS,
        strm_lvl="ERROR",
        local_redirect=True,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
