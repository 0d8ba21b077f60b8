"""Tell faults of the machine from failures of a calculation, and end a process that is asked to.

A stage that fails for a reason of its own leaves a row; a machine that fails (its database, disk,
memory, queue) leaves nothing, and the job is run again elsewhere. SIGTERM, which a queue sends
before it kills, is answered by saving.

A fault is told by its class: ours derive from `MachineError`, those of other packages are listed
here. Only where an error comes from a program that was run, or from a C library, are its words all
there is.
"""

from __future__ import annotations

import errno
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

MACHINE_ERRNO = frozenset(
    getattr(errno, name)
    for name in (
        *(
            "ENOSPC",
            "EDQUOT",
            "EFBIG",
            "EIO",
            "ESTALE",
            "EROFS",
            "EACCES",
            "EPERM",
            "ENODEV",
            "ENXIO",
            "EREMOTEIO",
        ),
        *("EMFILE", "ENFILE", "ENOMEM", "EAGAIN", "ENOBUFS", "ENOLCK"),
        *(
            "ETIMEDOUT",
            "EHOSTDOWN",
            "EHOSTUNREACH",
            "ENETDOWN",
            "ENETUNREACH",
            "ENETRESET",
            "ENOTCONN",
        ),
    )
    if hasattr(errno, name)
)
"""Disks and file systems; what a process may have; networks. A missing file (ENOENT) may be
anybody's fault.
"""
GPU_MEMORY_WORDS = (
    "cuda out of memory",
    "cuda error: out of memory",
    "hip out of memory",
    "cublas_status_alloc_failed",
)
MEMORY_WORDS = (
    *GPU_MEMORY_WORDS,
    "allocate memory",  # torch's and the system's own words for a machine without enough
    "not enough memory",
)
MACHINE_WORDS = (
    *MEMORY_WORDS,
    "no space left on device",
    "disk quota exceeded",
    "read-only file system",
    "input/output error",
    "stale file handle",
    "cuda error",  # the device is of no use to this process after any of them
    "no cuda gpus are available",
)
FOREIGN_FAULTS = {
    "torch": ("OutOfMemoryError", "AcceleratorError"),
    "concurrent.futures": ("BrokenExecutor",),
    "fireworks.core.launchpad": ("LockedWorkflowError",),
    "pymongo.errors": (
        *("ConnectionFailure", "ConfigurationError", "CursorNotFound", "ExecutionTimeout"),
        *("WriteConcernError", "WTimeoutError"),
    ),
}
"""Module → classes whose errors are the machine's; a module that nobody has imported raises
nothing.
"""
SERVER_CODES = frozenset(
    {
        6,
        7,
        13,
        18,
        24,
        46,
        64,
        89,
        91,
        112,
        133,
        134,
        189,
        262,
        9001,
        10107,
        11600,
        11601,
        11602,
        13435,
        13436,
        14031,
    }
)
"""MongoDB's codes of what another time or another user may do.

Host unreachable: 6, 7, 89, 9001; not authorized: 13, 18; locks and write conflicts: 24, 46, 112; no
majority: 64, 133, 134; shutting down or stepping down: 91, 189, 10107, 11600, 11602, 13435, 13436;
interrupted or too slow: 262, 11601; disk full: 14031.
"""


class MachineError(RuntimeError):
    """The machine failed, not the calculation: the same job will do elsewhere or later."""


class Terminated(BaseException):
    """The process was asked to end (SIGTERM); no `except Exception` takes it for a failure."""


def is_machine_fault(error: BaseException) -> bool:
    """Tell whether an error, or one that it was raised from, is the machine's.

    Parameters
    ----------
    error
        What was caught. Whoever catches `Exception` of code that is not ours asks, and raises it
        again if so.

    Returns
    -------
    bool
        False for what would happen again with the same input on any machine: a document that is too
        large, a key that is there twice, a query that is malformed.
    """
    return any(_is_fault(each) for each in _with_causes(error))


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error, or one that it was raised from, is about too little memory."""
    return any(_is_out_of_memory(each) for each in _with_causes(error))


def error_line(error: BaseException, length: int | None = None) -> str:
    """Return the kind of an error and what it says, in one line of so many characters at most."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:length]


def by_halves(
    items: Sequence[Item], evaluate: Callable[[Sequence[Item]], Sequence[Result]]
) -> list[Result | Exception]:
    """Evaluate many things in one call, or in halves where they are refused together.

    Parameters
    ----------
    items
        What to evaluate.
    evaluate
        Returns a result of each. It may refuse what it is given for the sake of one of them, or
        because they are too many for the memory.

    Returns
    -------
    list
        A result of each, or why it was refused when it was alone.

    Raises
    ------
    Exception
        What the machine did wrong; a lack of memory only if it was for one.
    """
    try:
        return list(evaluate(items))
    except Exception as err:
        may_be_size = len(items) > 1 and is_out_of_memory(err)
        if is_machine_fault(err) and not may_be_size:
            raise
        if len(items) == 1:
            return [err.with_traceback(None)]
    # outside of the handler: the exception has let go of what the failed call held in memory
    middle = len(items) // 2
    return [*by_halves(items[:middle], evaluate), *by_halves(items[middle:], evaluate)]


def _with_causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the error, and what it was raised from."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)


def _is_fault(error: BaseException) -> bool:
    """Tell whether one error, without its causes, is the machine's."""
    if isinstance(
        error, (MachineError, MemoryError, ImportError, ConnectionError, socket.gaierror)
    ):
        return True
    if isinstance(error, OSError) and error.errno in MACHINE_ERRNO:
        return True
    if any(isinstance(error, _loaded(module, *names)) for module, names in FOREIGN_FAULTS.items()):
        return True
    if isinstance(error, _loaded("pymongo.errors", "PyMongoError")):
        return _is_servers(error)
    return any(words in str(error).lower() for words in MACHINE_WORDS)


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, (MemoryError, *_loaded("torch", "OutOfMemoryError"))):
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    return any(words in str(error).lower() for words in MEMORY_WORDS)


def _loaded(module: str, *names: str) -> tuple[type[BaseException], ...]:
    """Return classes of a module that somebody has imported; none of any other module."""
    namespace = sys.modules.get(module)
    return tuple(getattr(namespace, name) for name in names if hasattr(namespace, name))


def _is_servers(error: Any) -> bool:
    """Tell whether a database's error is about the server or the connection, not the request."""
    labels = ("RetryableWriteError", "TransientTransactionError")
    if any(error.has_error_label(label) for label in labels):
        return True
    details = getattr(error, "details", None) or {}
    writes = [write.get("code") for write in details.get("writeErrors", ())]
    concerns = details.get("writeConcernErrors")
    codes = {getattr(error, "code", None), *writes}
    return bool(concerns) or not codes.isdisjoint(SERVER_CODES)


class _Request:
    """State of the request to end, and the number of blocks that save before the process does."""

    asked = False
    holding = 0


@contextmanager
def handle_sigterm() -> Iterator[None]:
    """Raise `Terminated` in the block when SIGTERM arrives.

    Nothing is done outside the main thread, where no signals arrive.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _Request.asked = False
    _Request.holding = 0
    before = signal.signal(signal.SIGTERM, _answer)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        _Request.asked = False


@contextmanager
def defer_sigterm() -> Iterator[None]:
    """Let SIGTERM only make `termination_asked` true in the block.

    The block saves and raises `Terminated` itself.
    """
    _Request.holding += 1
    try:
        yield
    finally:
        _Request.holding -= 1


def termination_asked() -> bool:
    """Tell whether SIGTERM has arrived since the running job began."""
    return _Request.asked


def _answer(_number: int, _frame: FrameType | None) -> None:
    _Request.asked = True
    if not _Request.holding:
        raise Terminated("the process was asked to end (SIGTERM)")
