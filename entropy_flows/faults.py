"""Whose fault an error is, and how a process is asked to end.

A stage that fails for a reason of its own leaves a row; a machine that fails (its database, disk, memory, queue) leaves
nothing, and the job is run again elsewhere. SIGTERM, which a queue sends before it kills, is answered by saving.
"""

from __future__ import annotations

import errno
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

MACHINE_ERRNO = frozenset(
    getattr(errno, name)
    for name in ("ENOSPC", "EDQUOT", "EIO", "ESTALE", "EROFS", "EMFILE", "ENFILE", "ENOMEM", "ETIMEDOUT", "ECONNRESET")
)
MACHINE_NAMES = frozenset(
    (
        "MachineError",
        "StoreError",
        "EngineError",
        "MemoryError",
        "OutOfMemoryError",
        "ImportError",
        "LockedWorkflowError",
    )
)
MACHINE_WORDS = ("no space left on device", "disk quota exceeded", "cuda out of memory", "read-only file system")


class MachineError(RuntimeError):
    """The machine failed, not the calculation: the same job will do elsewhere or later."""


class Terminated(BaseException):
    """The process was asked to end (SIGTERM); no `except Exception` takes it for a failure."""


def is_machine_fault(error: BaseException) -> bool:
    """Whether an error, or one that it was raised from, is the machine's."""
    seen: BaseException | None = error
    while seen is not None:
        if any(cls.__name__ in MACHINE_NAMES or cls.__module__.startswith("pymongo") for cls in type(seen).__mro__):
            return True
        if isinstance(seen, OSError) and seen.errno in MACHINE_ERRNO:
            return True
        if any(word in str(seen).lower() for word in MACHINE_WORDS):
            return True
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    return False


class _Request:
    """Whether the process was asked to end, and how many blocks want to save before it does."""

    asked = False
    holding = 0


@contextmanager
def answering_sigterm() -> Iterator[None]:
    """Raise `Terminated` in the block when SIGTERM arrives; in the main thread only, where signals arrive."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _Request.asked, _Request.holding = False, 0
    before = signal.signal(signal.SIGTERM, _answer)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        _Request.asked = False


@contextmanager
def saving_first() -> Iterator[None]:
    """In the block SIGTERM only makes `termination_asked` true: the block saves and raises `Terminated` itself."""
    _Request.holding += 1
    try:
        yield
    finally:
        _Request.holding -= 1


def termination_asked() -> bool:
    """Whether SIGTERM has arrived since the running job began."""
    return _Request.asked


def _answer(_number: int, _frame: FrameType | None) -> None:
    _Request.asked = True
    if not _Request.holding:
        raise Terminated("the process was asked to end (SIGTERM)")
