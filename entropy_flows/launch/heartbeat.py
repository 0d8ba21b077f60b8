"""A running job's signs of life, and its end when the job was given to another.

FireWorks' own ping dies with the first write that fails, for instance while the database restarts, and its job then
looks lost for as long as it still runs.
"""

from __future__ import annotations

import os
import sys
import threading
from types import TracebackType

from fireworks import LaunchPad
from pymongo.errors import PyMongoError

from entropy_flows.settings import settings


class Heartbeat:
    """Ping a launch from a thread while the block runs.

    Parameters
    ----------
    pad
        The launchpad.
    fw_id
        The job, RUNNING in this process.
    """

    def __init__(self, pad: LaunchPad, fw_id: int):
        self.pad, self.fw_id, self._stop = pad, fw_id, threading.Event()
        found = pad.fireworks.find_one({"fw_id": fw_id}, {"launches": 1})
        self.launch_id = found["launches"][-1] if found and found["launches"] else None
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(settings().heartbeat):
            try:
                if not self.is_ours():
                    self.abandon()
                self.pad.ping_launch(self.launch_id)
            except (PyMongoError, ValueError):  # ValueError: FireWorks' word for a launch that is not there
                continue

    def is_ours(self) -> bool:
        """Whether the job still runs as this launch."""
        mine = {"fw_id": self.fw_id, "launches": self.launch_id}
        running = {"launch_id": self.launch_id, "state": "RUNNING"}
        return all(
            collection.find_one(query, {"_id": 1}) is not None
            for collection, query in ((self.pad.fireworks, mine), (self.pad.launches, running))
        )

    def abandon(self) -> None:
        """End this process: what it still does, another one does as well."""
        print(f"job {self.fw_id} was given to another worker; this one ends", file=sys.stderr, flush=True)
        os._exit(1)
