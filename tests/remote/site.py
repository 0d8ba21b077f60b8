"""A site of jobflow-remote: a database, a project, and a runner in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from entropy_flows.store import connect
from entropy_flows.store.embedded import embedded_server

BIN = Path(sys.executable).parent
TESTS = Path(__file__).parents[1]


@dataclass
class RemoteSite:
    """A user's account: a folder, a database, and the environment that goes with these."""

    folder: Path
    uri: str
    environment: dict[str, str]
    runner: subprocess.Popen | None = None
    logs: list[Path] = field(default_factory=list)

    @property
    def database(self):
        return connect(self.uri, "entropy_flows")

    def program(self, *command: object, code: int = 0, timeout: float = 1500) -> str:
        """Output of a program of this environment, which ends with this exit code."""
        done = subprocess.run(
            [str(BIN / str(command[0])), *map(str, command[1:])],
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def start_runner(self) -> None:
        """Start a real runner."""
        log = self.folder / f"runner-{len(self.logs)}.log"
        self.logs.append(log)
        with log.open("wb") as stream:
            self.runner = subprocess.Popen(
                [str(BIN / "jf"), "-p", "site", "runner", "run"],
                env=self.environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )

    def end_runner(self, number: int = signal.SIGTERM) -> None:
        if self.runner is not None:
            self.runner.send_signal(number)
            self.runner.wait(60)
            self.runner = None

    def jobs(self, **query: object) -> list[dict]:
        return list(self.database["jobs"].find(query))

    def processes(self) -> dict[int, str]:
        """Process id → command line of the jobs that run."""
        found = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                except OSError:
                    continue
                if "launch.remote.job" in line and str(self.folder) in line and "bash" not in line:
                    found[int(entry.name)] = line
        return found


@contextmanager
def remote_site(folder: Path, **variables: str) -> Iterator[RemoteSite]:
    """A site for the length of the block; its runner and its jobs end with it."""
    with embedded_server(folder / "server" / "database") as uri:
        hidden = {k: v for k, v in os.environ.items() if not k.startswith("ENTROPY_FLOWS_")}
        environment = {
            **hidden,
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join(
                [str(TESTS.parent), str(TESTS), str(TESTS / "plugins" / "third_party")]
            ),
            "OMP_NUM_THREADS": "1",
            "ENTROPY_FLOWS_CONFIG_FILE": "/nonexistent",
            "ENTROPY_FLOWS_URI": uri,
            "ENTROPY_FLOWS_DATABASE": "entropy_flows",
            "ENTROPY_FLOWS_CACHE": str(folder / "cache"),
            "JFREMOTE_PROJECTS_FOLDER": str(folder / "projects"),
            "COLUMNS": "200",
            **variables,
        }
        site = RemoteSite(folder, uri, environment)
        try:
            yield site
        finally:
            site.end_runner(signal.SIGKILL)
            for pid in site.processes():
                os.kill(pid, signal.SIGKILL)


def wait_for(condition: Callable[[], object], seconds: float, what: str) -> None:
    """Return as soon as a condition holds; a TimeoutError if it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:g} s for {what}")
        time.sleep(0.3)
