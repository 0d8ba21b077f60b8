"""Workers of this machine, one thread each, that end with the process that started them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from fireworks import LaunchPad

from entropy_flows.launch.launchpad import launchpad
from entropy_flows.launch.liveness import LivenessCriteria, usual_expiry
from entropy_flows.launch.repair import RepairReport, repair
from entropy_flows.processes import dies_with_parent, has_ended, process_name
from entropy_flows.settings import settings

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
MAX_RESTARTS = 20
LOOK_SECONDS = 10.0
"""Between two looks at what workers have left that cannot be told at once from work in progress."""
ALONE = 10.0
"""Seconds after which what looks half done is no work in progress, where all workers are of this
machine.
"""


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
        self.campaign = campaign
        self.folder = folder
        self.restarts = 0
        self.looked = time.monotonic()
        self.pad = launchpad()
        shared = LivenessCriteria(expiry=usual_expiry())
        self.evidence = replace(shared, patience=ALONE) if alone else shared
        count = count or settings().workers or len(os.sched_getaffinity(0))
        names = [worker_name(campaign, process_name(), number) for number in range(count)]
        self.processes: dict[str, subprocess.Popen | None] = dict.fromkeys(names)

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

    def mend(self) -> RepairReport:
        """Replace dead workers and put their jobs back; now and then also what took time to tell from a living one's.

        Raises
        ------
        RuntimeError
            If workers keep dying.
        """
        dead = [
            name
            for name, process in self.processes.items()
            if process is not None and process.poll() is not None
        ]
        if not dead and time.monotonic() - self.looked < LOOK_SECONDS:
            return RepairReport()
        self.restarts += len(dead)
        if self.restarts > MAX_RESTARTS:
            raise RuntimeError(f"workers died {self.restarts} times; see {self.folder / 'logs'}")
        mended = repair(self.pad, self.campaign, replace(self.evidence, dead=frozenset(dead)))
        self.looked = time.monotonic()
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


def worker_name(campaign: str, process: str, number: int) -> str:
    """Name of a local worker, which no other one has; it says which process started it, and ends with it."""
    return f"{campaign}-local-{process}-{number}"


def local_workers(pad: LaunchPad, campaign: str) -> dict[str, str]:
    """All local workers that ever took a job of a campaign: name → the process that started it."""
    pattern = re.compile(re.escape(f"{campaign}-local-") + r"(?P<process>[0-9a-f]{8}-\d+-\d+)-\d+")
    names = [name for name in pad.launches.distinct("fworker.name") if name]
    return {name: found["process"] for name in names if (found := pattern.fullmatch(name))}


def ended_workers(pad: LaunchPad, campaign: str) -> frozenset[str]:
    """Names of those of them that do not live any more, because the process that started them has ended here."""
    workers = local_workers(pad, campaign)
    return frozenset(name for name, process in workers.items() if has_ended(process))
