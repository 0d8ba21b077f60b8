"""How fast a model is on batches of cells."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice

from ase import Atoms

from entropy_flows.batch import Batch
from entropy_flows.potentials import BatchModel

WARM_UP_CALLS = 2
MIN_CALLS = 3
MAX_SECONDS = 0.5
"""Time that is measured at each size of a batch, once there are enough calls."""


@dataclass(frozen=True)
class Speed:
    """Time of a call: t(b) = call + b · cell for b cells.

    Attributes
    ----------
    call
        Seconds of a call, whatever is in it.
    cell
        Seconds of each cell.
    """

    call: float
    cell: float

    def seconds(self, cells: int) -> float:
        """Return the time (s) of a call with so many cells."""
        return self.call + cells * self.cell

    @classmethod
    def through(cls, one: float, many: float, cells: int) -> Speed:
        """Return the speed of which a call with one cell and one with `cells` were timed (s)."""
        if cells == 1:
            return cls(0.0, one)
        cell = max(many - one, 0.0) / (cells - 1)
        return cls(max(one - cell, 0.0), min(cell, one))


def measure_speed(model: BatchModel, cells: Sequence[Atoms], size: int) -> Speed:
    """Time calls with one cell and with `size` cells; of each the fastest call counts.

    What else runs on the machine makes calls slower, never faster.

    Parameters
    ----------
    model
        The model.
    cells
        Cells like those that it will be called with.
    size
        Cells of a call.
    """
    one = _fastest_call(model, cells[:1])
    many = one if size == 1 else _fastest_call(model, list(islice(cycle(cells), size)))
    return Speed.through(one, many, size)


def _fastest_call(model: BatchModel, cells: Sequence[Atoms]) -> float:
    """Return the time (s) of the fastest of a few calls."""
    batch = Batch.of(cells, model.device)
    for _ in range(WARM_UP_CALLS):
        model(batch).energy.cpu()
    times: list[float] = []
    while len(times) < MIN_CALLS or sum(times) < MAX_SECONDS:
        started = time.perf_counter()
        # a GPU has done nothing yet when the call returns
        model(batch).energy.cpu()
        times.append(time.perf_counter() - started)
    return min(times)
