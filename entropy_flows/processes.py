"""Child processes that end with their parent, even a killed one, and locks between processes."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import getpass
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from entropy_flows.digest import digest
from entropy_flows.faults import MachineError

logger = logging.getLogger(__name__)

PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def dies_with_parent(number: int = signal.SIGKILL) -> Callable[[], None] | None:
    """Return a `preexec_fn` that has the kernel signal the child when its parent dies.

    None where the kernel cannot.
    """
    if _LIBC is None:
        return None
    parent = os.getpid()

    def ask_kernel() -> None:
        _LIBC.prctl(PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:  # the parent died between fork and here
            os._exit(1)

    return ask_kernel


@contextlib.contextmanager
def child(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen]:
    """Start a process that ends with this one, and with this block."""
    process = subprocess.Popen(command, preexec_fn=dies_with_parent(), **options)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


@contextlib.contextmanager
def locked(path: Path, title: object, patience: float) -> Iterator[int]:
    """Hold a file's lock; the kernel lets go of it when this process ends, however it ends.

    A disk that knows no locks is used without, with a warning.

    Parameters
    ----------
    path
        The file; made if missing, with its folder.
    title
        What the lock is of, for the error.
    patience
        Seconds to wait for another process that holds it.

    Yields
    ------
    int
        The file's descriptor. Handed to a child process, the lock lasts as long as that one as
        well.

    Raises
    ------
    MachineError
        If another process still holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + patience
    with path.open("a") as stream:  # NFS locks only what is open for writing
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise MachineError(
                        f"{title} is in use by another process ({path}, waited {patience:.0f} s)"
                    ) from None
                time.sleep(0.2)
            except OSError as err:
                logger.warning(
                    "%s cannot be locked, two processes would not see each other: %s", path, err
                )
                break
        yield stream.fileno()


def is_locked(path: Path) -> bool:
    """Tell whether a living process holds a file's lock.

    It may be of this machine, or of one that shares the disk's locks.
    """
    try:
        with path.open("a") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # it is gone, or its disk knows no locks
        return False
    return False


def author() -> str:
    """Name the user and the machine that a change is recorded under."""
    return f"{getpass.getuser()}@{socket.gethostname()}"


def process_name() -> str:
    """Return the name of this process: machine, number and start.

    No other process has it, on any machine or at any time.
    """
    return f"{_machine()}-{os.getpid()}-{_started(os.getpid()) or 0}"


def has_ended(name: str) -> bool:
    """Tell whether a process of this machine has ended.

    Parameters
    ----------
    name
        Name that `process_name` has returned in it.

    Returns
    -------
    bool
        False if it lives, or is of another machine or container, of which nothing is known here.
    """
    machine, _, rest = name.partition("-")
    number, _, start = rest.partition("-")
    return machine == _machine() and (_started(int(number)) or 0) != int(start)


@cache
def _machine() -> str:
    """Return a digest of host, boot and process namespace, within which numbers are unique."""
    facts = [socket.gethostname()]
    with contextlib.suppress(OSError):  # there is no /proc
        facts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        facts.append(os.readlink("/proc/self/ns/pid"))
    return digest(facts)[:8]


def _started(number: int) -> int | None:
    """Return when a process started, in clock ticks since the boot.

    1 where the system does not say; None if there is no such process.
    """
    try:
        state, *fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
        # a zombie does nothing any more
        return None if state in "ZX" else int(fields[18])
    except OSError:
        pass
    if Path("/proc/self/stat").exists():
        return None
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        return 1
    return 1
