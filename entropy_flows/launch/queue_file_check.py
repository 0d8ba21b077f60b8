"""Check the worker and queue files of each category of jobs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from entropy_flows.launch.launcher_readers import LauncherReport, read_adapter, read_category
from entropy_flows.launch.launchers import Cluster, queue_file, worker_file
from entropy_flows.launch.queue_keys import template_keys
from entropy_flows.launch.walltime import seconds


@dataclass(frozen=True)
class QueueFileCheck:
    """The check of the worker and queue files in a folder.

    Attributes
    ----------
    report
        Where problems are kept.
    folder
        Folder of the files.
    expiry
        Seconds without a sign of life after which a running job is lost (RUN_EXPIRATION_SECS).
    """

    report: LauncherReport
    folder: Path
    expiry: float

    def check_category(self, category: str) -> Any:
        """Check a category's files; return the adapter of one queue job for each job, if any."""
        worker_path = self.folder / worker_file(category)
        is_listed = category in Cluster().queues
        if not is_listed and not self._has_files(category):
            self._error(self._how_to_add(category))
            return None
        worker = self.report.read(worker_path, read_category)
        if worker is not None and worker != category:
            self._error(f"{worker_path}: category {worker!r}, expected {category!r}")
        first_adapter = None
        for pull in (False, True):
            path = self.folder / queue_file(category, pull)
            if pull and not path.exists():
                continue
            adapter = self.report.read(path, read_adapter)
            if adapter is None:
                continue
            first_adapter = adapter if first_adapter is None else first_adapter
            self._check_adapter(path, adapter, category, pull)
        return first_adapter

    def check_changes(self, stage: str, changes: Mapping[str, Any], adapter: Any) -> None:
        """Check that what a campaign changes of a stage's queue jobs has an effect."""
        source = f"queue of stage {stage}"
        self._walltime_seconds(source, changes.get("walltime"))
        if adapter is None:
            return
        keys = template_keys(Path(adapter.template_file).read_text())
        unknown = [key for key in changes if key not in keys]
        if unknown:
            self._error(f"{source}: {', '.join(unknown)} not in {adapter.template_file}")

    def _error(self, message: str) -> None:
        self.report.errors.append(message)

    def _has_files(self, category: str) -> bool:
        """Return True if a category has a worker file and a queue file."""
        names = (worker_file(category), queue_file(category))
        return all((self.folder / name).is_file() for name in names)

    def _how_to_add(self, category: str) -> str:
        """Say how to make the files of a category that `entropy-flows launchers` does not write."""
        worker = worker_file(category)
        queue = queue_file(category)
        return (
            f"{self.folder} has no {worker} and {queue}: copy {worker_file('gpu')} to the first "
            f"with category: {category}, {queue_file('gpu')} to the second with "
            f"-w {self.folder / worker} in rocket_launch and its own queue, and start a qlaunch "
            f"with these two"
        )

    def _check_adapter(self, path: Path, adapter: Any, category: str, pull: bool) -> None:
        """Check one queue file: the worker that it starts, its walltime and its signal."""
        self._check_rocket(path, adapter, category)
        total = self._walltime_seconds(str(path), adapter.get("walltime"))
        rocket = adapter.get("rocket_launch") or ""
        timeout = re.search(r"rapidfire.*--timeout[ =](\d+)", rocket)
        if total and timeout and int(timeout[1]) >= total:
            self._error(
                f"{path}: --timeout {timeout[1]} s is not less than the walltime, {total} s"
            )
        if pull and not timeout:
            self._error(
                f"{path}: no `rapidfire --timeout` in rocket_launch: it begins jobs until the end"
            )
        if total:
            self._check_signal(path, adapter, total)

    def _check_rocket(self, path: Path, adapter: Any, category: str) -> None:
        """Check that a queue job starts the worker of its category, and from files that exist."""
        rocket = adapter.get("rocket_launch") or ""
        files = dict(re.findall(r"(?<=\s)(-[lw]|--\w+_file)[ =](\S+)", rocket))
        worker = files.get("-w") or files.get("--fworker_file")
        expected = worker_file(category)
        if worker is None:
            self._error(
                f"{path}: rocket_launch names no worker file (-w); "
                f"it would take jobs of every category"
            )
        elif Path(worker).name != expected:
            self._error(f"{path}: rocket_launch starts a worker of {worker}, expected {expected}")
        for name in files.values():
            if not Path(name).is_file():
                self._error(f"{path}: {name} in rocket_launch does not exist")
        if not re.match(r"\s*exec\s", rocket):
            self.report.warnings.append(
                f"{path}: rocket_launch without `exec`: SIGTERM does not reach the worker"
            )

    def _walltime_seconds(self, source: str, walltime: Any) -> int | None:
        """Return a walltime in seconds, and check that a lost job is known before its end."""
        if walltime is None:
            return None
        try:
            total = seconds(str(walltime))
        except ValueError as err:
            self._error(f"{source}: {err}")
            return None
        if self.expiry > total:
            limit = f"RUN_EXPIRATION_SECS, {self.expiry:g} s"
            self._error(f"{source}: walltime {walltime} is less than {limit}")
        return total

    def _check_signal(self, path: Path, adapter: Any, total: int) -> None:
        """Check that SIGTERM comes before the walltime is over."""
        lead = 0
        if adapter.q_type == "SLURM":
            signal = re.fullmatch(r"B:(?:SIG)?TERM@(\d+)", str(adapter.get("signal")))
            if signal:
                lead = int(signal[1])
        else:
            rocket = adapter.get("rocket_launch") or ""
            timeout = re.search(r"\btimeout .*--signal=(?:SIG)?TERM\s+(\d+)\s", rocket)
            if timeout:
                lead = total - int(timeout[1])
        if not 0 < lead < total:
            self._error(
                f"{path}: no SIGTERM before the walltime is over, so no checkpoint "
                f"(signal: B:TERM@120)"
            )
