"""Workers of this machine, one thread each, that end with the process that started them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from fireworks import LaunchPad

from entropy_flows.launch.recover import Mended, recover
from entropy_flows.processes import dies_with_parent
from entropy_flows.settings import settings
from entropy_flows.store import launchpad

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
MAX_RESTARTS = 20


class LocalWorkers:
    """A fixed number of workers; a dead one is replaced and its job run again.

    Parameters
    ----------
    campaign
        Whose jobs they take.
    folder
        The campaign's folder: launch directories and logs go below it.
    count
        How many; None takes the settings' number, or one per core.
    alone
        Nobody else works on this campaign: the database is its own.
    """

    def __init__(self, campaign: str, folder: Path, count: int | None = None, alone: bool = False):
        self.campaign, self.folder, self.alone, self.restarts = campaign, folder, alone, 0
        count = count or settings().workers or len(os.sched_getaffinity(0))
        self.processes: dict[str, subprocess.Popen | None] = {f"{campaign}-local-{n}": None for n in range(count)}

    def __enter__(self) -> LocalWorkers:
        for name in self.processes:
            self.processes[name] = self._start(name)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def _stop(self) -> None:
        running = [process for process in self.processes.values() if process is not None]
        for process in running:
            process.terminate()
        for process in running:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def mend(self) -> Mended:
        """Replace dead workers and put their jobs back.

        Raises
        ------
        RuntimeError
            If workers keep dying.
        """
        dead = [name for name, process in self.processes.items() if process is not None and process.poll() is not None]
        if not dead:
            return Mended()
        self.restarts += len(dead)
        if self.restarts > MAX_RESTARTS:
            raise RuntimeError(f"workers died {self.restarts} times; see {self.folder / 'logs'}")
        pad = launchpad()
        if self.alone and _stays_locked(pad, self.campaign):
            self._stop()  # it died with the workflow's lock, and the others wait for that: begin again
            dead = list(self.processes)
            mended = recover(pad, self.campaign, dead, alone=True)
        else:
            mended = recover(pad, self.campaign, dead)
        for name in dead:
            self.processes[name] = self._start(name)
        return mended

    def _start(self, name: str) -> subprocess.Popen:
        logs = self.folder / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, **dict.fromkeys(THREADS, "1")}
        command = [sys.executable, "-m", "entropy_flows.launch.worker", name, self.campaign]
        with (logs / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                [*command, str(self.folder / "launches")],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the command line, which then ends its workers
                preexec_fn=dies_with_parent(),
            )


def _stays_locked(pad: LaunchPad, campaign: str, seconds: float = 3.0) -> bool:
    """Whether a workflow of the campaign is locked at every look; a living worker holds a lock for milliseconds."""
    ids = [fw["fw_id"] for fw in pad.fireworks.find({"spec.campaign": campaign}, {"fw_id": 1})]
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if pad.workflows.find_one({"nodes": {"$in": ids}, "locked": {"$exists": True}}, {"_id": 1}) is None:
            return False
        time.sleep(0.05)
    return True
