"""Child processes that do not outlive their parent, even a killed one."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def dies_with_parent(number: int = signal.SIGKILL) -> Callable[[], None] | None:
    """A `preexec_fn` that has the kernel send a signal to the child when its parent dies; None where it cannot."""
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
