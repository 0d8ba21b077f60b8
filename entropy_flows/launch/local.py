"""Run workers of this machine, one thread each, that end with the process that started them."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from entropy_flows.launch.launchpad import launchpad
from entropy_flows.launch.liveness import LivenessCriteria, default_expiry
from entropy_flows.launch.repair import repair
from entropy_flows.launch.repair_report import RepairReport
from entropy_flows.launch.worker import GIVEN_BACK, WAIT
from entropy_flows.processes import dies_with_parent, has_ended, process_name
from entropy_flows.settings import settings

if TYPE_CHECKING:
    from fireworks import LaunchPad

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
"""Environment variables that limit a worker to one thread."""
MAX_RESTARTS = 20
REPAIR_SECONDS = 10.0
"""Time between two repairs while no worker has died: what a dead worker has left may look like
work in progress at first.
"""
LOCAL_PATIENCE = 10.0
"""Seconds after which something half done is no work in progress, where all workers are of this
machine.
"""
STOP_SECONDS = 20.0
"""Time that the workers have to save their jobs after SIGTERM."""


class LocalWorkers:
    """A fixed number of workers; a dead one is replaced and its job run again.

    Parameters
    ----------
    campaign
        Name of the campaign whose jobs they take.
    folder
        The campaign's folder. Launch directories and logs go below it.
    count
        Number of workers. None takes the settings' number, or one per core.
    alone
        True if nobody else works on this campaign, because the database is its own.
    model
        Name or path of the model that explores first, which they load before their first job.
    """

    def __init__(
        self,
        campaign: str,
        folder: Path,
        count: int | None = None,
        alone: bool = False,
        model: str | None = None,
    ):
        self.campaign = campaign
        self.folder = folder
        self.model = model
        self.restarts = 0
        self.last_repair = time.monotonic()
        self.pad = launchpad()
        self.criteria = LivenessCriteria(expiry=default_expiry())
        if alone:
            self.criteria = replace(self.criteria, patience=LOCAL_PATIENCE)
        count = count or default_workers()
        names = [worker_name(campaign, process_name(), number) for number in range(count)]
        self.processes: dict[str, subprocess.Popen | None] = dict.fromkeys(names)

    def __enter__(self) -> LocalWorkers:
        """Start the workers, which import and load what they will need, and wait."""
        for name in self.processes:
            self.processes[name] = self._start(name)
        return self

    @property
    def is_started(self) -> bool:
        """True if there are processes."""
        return any(self.processes.values())

    def begin(self) -> None:
        """Let the workers take jobs: the campaign is in the database."""
        for process in self.processes.values():
            if process is not None:
                _let_begin(process)

    def __exit__(self, *_: object) -> None:
        self._stop()

    def _stop(self) -> None:
        running = [process for process in self.processes.values() if process is not None]
        for process in running:
            process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for process in running:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def mend(self) -> RepairReport:
        """Replace dead workers and put their jobs back.

        Now and then it also finds what could not be told at once from a living worker's work.

        Raises
        ------
        RuntimeError
            If workers keep dying.
        """
        dead = {}
        for name, process in self.processes.items():
            if process is not None and process.poll() is not None:
                dead[name] = process.returncode
        if not dead and time.monotonic() - self.last_repair < REPAIR_SECONDS:
            return RepairReport()
        # one that was asked to end is no sign of anything wrong
        self.restarts += sum(code != GIVEN_BACK for code in dead.values())
        if self.restarts > MAX_RESTARTS:
            raise RuntimeError(f"workers died {self.restarts} times; see {self.folder / 'logs'}")
        criteria = replace(self.criteria, dead=frozenset(dead))
        report = repair(self.pad, self.campaign, criteria)
        self.last_repair = time.monotonic()
        for name in dead:
            replacement = self._start(name)
            _let_begin(replacement)
            self.processes[name] = replacement
        return report

    def _start(self, name: str) -> subprocess.Popen:
        logs = self.folder / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, **dict.fromkeys(THREADS, "1")}
        launches = str(self.folder / "launches")
        module = "entropy_flows.launch.worker"
        model = [] if self.model is None else [self.model]
        command = [sys.executable, "-m", module, name, self.campaign, launches, WAIT, *model]
        with (logs / f"{name}.log").open("ab") as log:
            # a session of its own: Ctrl-C is for the command line, which then ends its workers
            return subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=dies_with_parent(),
            )


def _let_begin(process: subprocess.Popen) -> None:
    """Let a worker take jobs; one that has died already is replaced later."""
    if process.stdin is None:
        return
    with contextlib.suppress(OSError):
        process.stdin.write(b"begin\n")
        process.stdin.close()


def default_workers() -> int:
    """Return the number of local workers: the settings', or one per core."""
    return settings().workers or len(os.sched_getaffinity(0))


def worker_name(campaign: str, process: str, number: int) -> str:
    """Return the name of a local worker, which no other worker has.

    It says which process started the worker. The worker ends with that process.
    """
    return f"{campaign}-local-{process}-{number}"


def local_workers(pad: LaunchPad, campaign: str) -> dict[str, str]:
    """Return all local workers that ever took a job of a campaign.

    Returns
    -------
    dict
        Worker's name → name of the process that started it.
    """
    prefix = re.escape(f"{campaign}-local-")
    pattern = re.compile(prefix + r"(?P<process>[0-9a-f]{8}-\d+-\d+)-\d+")
    workers = {}
    for name in pad.launches.distinct("fworker.name"):
        match = pattern.fullmatch(name or "")
        if match:
            workers[name] = match["process"]
    return workers


def ended_workers(pad: LaunchPad, campaign: str) -> frozenset[str]:
    """Return the names of the local workers whose process was of this machine and has ended."""
    workers = local_workers(pad, campaign)
    return frozenset(name for name, process in workers.items() if has_ended(process))
