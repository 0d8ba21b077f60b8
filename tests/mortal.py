"""A process that is killed, for real, instead of one of its writes to the database."""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable

from pymongo import monitoring

WRITES = ("insert", "update", "delete", "findAndModify")


class _Deadly(monitoring.CommandListener):
    """Kills its process at a write."""

    def __init__(self, writes: int) -> None:
        self.left = writes

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        """Count a write, and kill the process instead of the one after the last."""
        is_merge = event.command_name == "aggregate" and "$merge" in str(event.command)
        # a thread prolongs a lease at any time
        is_lease = event.command.get(event.command_name) == "leases"
        if is_merge or (event.command_name in WRITES and not is_lease):
            self.left -= 1
            if self.left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        """Do nothing."""

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        """Do nothing."""


def dies(work: Callable[[], object], writes: int) -> bool:
    """Do something in a child process that lives for so many writes; tell whether it was killed."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            monitoring.register(_Deadly(writes))
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    killed = os.WIFSIGNALED(status)
    assert killed or os.waitstatus_to_exitcode(status) == 0, "the child has failed"
    return killed


def deaths(work: Callable[[], object], every: int, after: Callable[[], None]) -> int:
    """Kill a work at some of its writes, from the first on, until it lives; how often it died.

    Parameters
    ----------
    work
        What is done.
    every
        Writes between two deaths.
    after
        Called after each death: completes the work, looks, and puts back what was before.
    """
    number = 0
    while dies(work, number * every):
        number += 1
        after()
    return number
