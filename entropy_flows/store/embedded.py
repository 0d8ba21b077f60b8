"""A MongoDB-protocol server of the campaign's own, for a machine that has none.

SecantusDB (extra `embedded`) speaks MongoDB's wire protocol over TCP and keeps its files in the
campaign's folder. It listens on loopback only, and ends when the process that started it ends, even
if that one is killed.
"""

from __future__ import annotations

import atexit
import functools
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path

from pymongo.database import Database

from entropy_flows.processes import dies_with_parent, locked
from entropy_flows.settings import settings
from entropy_flows.store.connection import StoreError, connect

LOCK_SECONDS = 30.0
"""Time to wait for a server that is closing its files (s)."""


@functools.cache
def own_database() -> Database:
    """Run a server on the cache's folder until this process ends, and connect to it.

    Raises
    ------
    StoreError, MachineError
        If SecantusDB is not installed, or another process has the folder.
    """
    folder = settings().cache.expanduser() / "embedded"
    folder.mkdir(parents=True, exist_ok=True)
    stack = ExitStack()
    atexit.register(stack.close)
    title = "the embedded database of this machine (set ENTROPY_FLOWS_URI to share one)"
    lock = stack.enter_context(locked(folder / "database.lock", title, LOCK_SECONDS))
    return connect(stack.enter_context(embedded_server(folder / "database", lock)))


@contextmanager
def embedded_server(
    folder: Path, lock: int | None = None, start_timeout: float = 60.0
) -> Iterator[str]:
    """Run a server on `folder` for the length of the block.

    Parameters
    ----------
    folder
        Where its files are; made if missing.
    lock
        Descriptor of a locked file for the server to hold as well: the lock then lasts as long as
        the server, which outlives a killed parent by the seconds it takes to close its files.
    start_timeout
        Seconds to wait for the first answer.

    Yields
    ------
    str
        Its URI.

    Raises
    ------
    StoreError
        If SecantusDB is not installed or does not start.
    """
    if find_spec("secantus") is None:
        raise StoreError(
            "no database is configured and SecantusDB is not installed: set "
            "ENTROPY_FLOWS_URI=mongodb://… or pip install 'entropy_flows[embedded]'"
        )
    folder.mkdir(parents=True, exist_ok=True)
    port = _free_port()
    program = Path(__file__).with_name("server.py")
    command = [sys.executable, "-P", str(program), str(port), str(folder)]
    log = folder.parent / "database.log"
    with log.open("ab") as stream:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, start_new_session=True,
            preexec_fn=dies_with_parent(signal.SIGTERM), pass_fds=() if lock is None else (lock,),
        )  # fmt: skip
    uri = f"mongodb://127.0.0.1:{port}/"
    try:
        _wait(process, uri, log, start_timeout)
        yield uri
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen, uri: str, log: Path, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if process.poll() is not None:
            lines = log.read_text(errors="replace").strip().splitlines()
            reason = lines[-1] if lines else "no output"
            raise StoreError(f"the embedded database did not start: {reason} (see {log})")
        with socket.socket() as probe:
            probe.settimeout(0.2)
            if probe.connect_ex(("127.0.0.1", int(uri.rstrip("/").rsplit(":", 1)[1]))) == 0:
                connect(uri)
                return
        time.sleep(0.1)
    raise StoreError(f"the embedded database did not answer within {timeout:.0f} s (see {log})")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
