"""The launchpad of a local worker."""

from __future__ import annotations

from typing import Any

from fireworks import LaunchPad

from entropy_flows.launch.launchpad import launchpad


class WorkerLaunchPad(LaunchPad):
    """A launchpad whose jobs give signs of life by `launch.heartbeat` alone.

    FireWorks gives three for each job, when it begins, before its task, and after it. Each reads
    the launch and writes it anew with its indexes. Of a job of a second they are the dearest part.
    """

    def ping_launch(self, launch_id: int, ptime: Any = None, checkpoint: Any = None) -> None:
        """Write nothing."""


def worker_launchpad() -> LaunchPad:
    """Open the launchpad of this machine's settings for a local worker."""
    return launchpad(kind=WorkerLaunchPad)
