"""Have the C library keep freed memory, so that each step of a calculation finds it again.

A step frees arrays of megabytes and asks for the same again. Left to itself, glibc gives them back
to the kernel, and each step gets new pages: 1100 page faults for the bias of 32 cells of Si16, a
third of its time. With these limits blocks up to 32 MiB come from the heap, and up to 256 MiB at
the heap's end stay with the process.

Who sets one of glibc's variables (`MALLOC_TRIM_THRESHOLD_`, …) has decided this already. Other C
libraries (musl, macOS) have neither the function nor the variables, and are left alone.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

MIB = 1 << 20


class Limit(NamedTuple):
    """A limit of glibc's allocator.

    Attributes
    ----------
    number
        Number of the parameter, as malloc.h has it.
    size
        Value in bytes.
    """

    number: int
    size: int


LIMITS = {
    "MALLOC_MMAP_THRESHOLD_": Limit(-3, 32 * MIB),  # the largest that glibc takes
    "MALLOC_TRIM_THRESHOLD_": Limit(-1, 256 * MIB),
}
"""Variable of glibc → limit."""


@cache
def keep_freed_memory() -> bool:
    """Have this process keep freed memory from here on.

    Returns
    -------
    bool
        False where the C library has no such limits, or its variables are set.
    """
    if is_decided(os.environ):
        return False
    set_limit = getattr(_c_library(), "mallopt", None)
    if set_limit is None:
        return False
    return all(set_limit(limit.number, limit.size) == 1 for limit in LIMITS.values())


def allocator_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that have a program keep freed memory; none if one is set already.

    Parameters
    ----------
    environment
        Environment that the program is started with.
    """
    if is_decided(environment):
        return {}
    return {name: str(limit.size) for name, limit in LIMITS.items()}


def program_environment() -> dict[str, str]:
    """Return this process's environment for a program that is to keep freed memory."""
    return {**allocator_variables(os.environ), **os.environ}


def is_decided(environment: Mapping[str, str]) -> bool:
    """Return whether an environment has limits of its own, by a variable or by glibc's tunables."""
    return any(name in environment for name in LIMITS) or "glibc.malloc" in environment.get(
        "GLIBC_TUNABLES", ""
    )


def _c_library() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if sys.platform == "linux" else None
