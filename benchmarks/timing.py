"""Contestants timed in turn, so that what else the machine does falls on all of them alike.

The clock is that of the process on a CPU: with one thread and no waiting it shows what an idle
machine's wall clock would. With a GPU it is the wall clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import torch

Turn = Callable[[float], float]
"""Seconds to spend → seconds of the fastest call; at least one call is made."""


@dataclass(frozen=True)
class Options:
    """How long to measure, on what device, and where plots go."""

    quick: bool = False
    device: str = "cpu"
    folder: Path = Path()
    started: float = 0.0

    @property
    def suffix(self) -> str:
        """What sets the files of a device apart from those of the CPU."""
        return "" if self.device == "cpu" else f"-{self.device}"

    def say(self, text: str) -> None:
        """A line of progress."""
        print(f"{time.perf_counter() - self.started:6.1f} s  {text}", flush=True)

    def wait(self) -> None:
        """Until the device has done what it was given."""
        if self.device != "cpu":
            torch.cuda.synchronize()

    def turn(self, work: Callable[[], object]) -> Turn:
        """Contestant that calls `work` in this process."""
        clock = time.process_time if self.device == "cpu" else time.perf_counter

        def spend(seconds: float) -> float:
            best, end = float("inf"), time.perf_counter() + seconds
            while time.perf_counter() < end or best == float("inf"):
                begun = clock()
                work()
                self.wait()
                best = min(best, clock() - begun)
            return best

        return spend

    def turn_of(self, work: Callable[[Any], object], items: list[Any]) -> Turn:
        """Contestant that calls `work` on item after item; its time is the mean of the best."""
        turns = [self.turn(partial(work, item)) for item in items]
        best = [float("inf")] * len(items)

        def spend(seconds: float) -> float:
            for index, turn in enumerate(turns):
                best[index] = min(best[index], turn(seconds / len(items)))
            return sum(best) / len(best)

        return spend

    def compete(self, contestants: Mapping[str, Turn], seconds: float = 4.0) -> dict[str, float]:
        """Return the best time (s) of each contestant.

        They run in turn and back, at least three times, for about `seconds` in all.
        """
        seconds = seconds / 8 if self.quick else seconds
        best = dict.fromkeys(contestants, float("inf"))
        for turn in contestants.values():  # first calls compile, allocate and load
            turn(0.0)
        end = time.perf_counter() + seconds
        orders = cycle((list(contestants), list(contestants)[::-1]))
        rounds = 0
        while time.perf_counter() < end or rounds < (1 if self.quick else 3):
            for name in next(orders):
                best[name] = min(best[name], contestants[name](seconds / len(contestants) / 8))
            rounds += 1
        return best
