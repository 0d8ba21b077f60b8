"""Time and memory of a piece of work."""

from __future__ import annotations

import time
from pathlib import Path
from types import TracebackType
from typing import Self

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class Peak:
    """Context: `seconds` (wall clock) and `mib`, by which the process' memory rose above what it held before.

    Linux tells memory; elsewhere `mib` is nan.
    """

    seconds, mib = 0.0, float("nan")

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
        self.mib = (
            max(self._memory("VmHWM") - self._before, 0.0)
            if self._before == self._before
            else float("nan")
        )

    @staticmethod
    def _memory(field: str, reset: bool = False) -> float:
        """A line of the process' status in MiB: VmRSS is what it holds, VmHWM its peak since a reset."""
        try:
            if reset:
                _RESET.write_text("5")
            line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(field))
        except (OSError, StopIteration):
            return float("nan")
        return int(line.split()[1]) / 1024
