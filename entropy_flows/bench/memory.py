"""Time and memory of a piece of work."""

from __future__ import annotations

import math
import time
from pathlib import Path
from types import TracebackType
from typing import Self

_STATUS_FILE = Path("/proc/self/status")
_RESET_FILE = Path("/proc/self/clear_refs")


class Peak:
    """Context that measures the wall time of its block, and the memory that the block needs.

    Attributes
    ----------
    seconds
        Wall time.
    mib
        MiB by which the process' memory rose above what it held before. It is nan where there is
        no Linux.
    """

    seconds: float = 0.0
    mib: float = math.nan

    def __enter__(self) -> Self:
        self._before = self._memory("VmRSS", reset=True)
        self._started = time.perf_counter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.seconds = time.perf_counter() - self._started
        if math.isnan(self._before):
            self.mib = math.nan
        else:
            self.mib = max(self._memory("VmHWM") - self._before, 0.0)

    @staticmethod
    def _memory(field: str, reset: bool = False) -> float:
        """Read a line of the process' status in MiB.

        VmRSS is what the process holds, VmHWM its peak since a reset.
        """
        try:
            if reset:
                _RESET_FILE.write_text("5")
            lines = _STATUS_FILE.read_text().splitlines()
            line = next(line for line in lines if line.startswith(field))
        except (OSError, StopIteration):
            return math.nan
        return int(line.split()[1]) / 1024
