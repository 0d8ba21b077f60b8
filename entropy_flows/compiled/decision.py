"""Whether compiling a model pays for the steps that are still to be run.

    saved = Σ_b n_b (t(b) − t'(b)),   t(b) = a + b c,   t'(b) = r_a a + b r_c c
    compiling pays if saved > cost

n_b  calls with b cells that the grids of the coming iterations make
t    measured time of a call of the eager model; t' that of the compiled one
r    ratios, as measured when a model was last compiled on this kind of machine; else those of the
     small Allegro in this package on a CPU, 0.15 and 0.54, rounded against compiling
cost time that compiling took then, or a minute and a half
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from entropy_flows.compiled.cache import CompiledFacts
from entropy_flows.compiled.speed import Speed

USUAL_CALL_RATIO = 0.3
USUAL_CELL_RATIO = 0.65
USUAL_SECONDS = 90.0


@dataclass(frozen=True)
class CompileEstimate:
    """Estimate what compiling a model would save and cost.

    Attributes
    ----------
    calls
        Cells of a call → number of such calls to come.
    eager
        Measured speed of the eager model.
    call_ratio, cell_ratio
        Compiled over eager, of the time of a call and of each cell.
    cost
        Seconds that compiling takes.
    """

    calls: Mapping[int, int]
    eager: Speed
    call_ratio: float = USUAL_CALL_RATIO
    cell_ratio: float = USUAL_CELL_RATIO
    cost: float = USUAL_SECONDS

    @classmethod
    def of(
        cls, calls: Mapping[int, int], eager: Speed, facts: CompiledFacts | None
    ) -> CompileEstimate:
        """Estimate by the facts of another form of this kind of machine, if there is one."""
        if facts is None or facts.eager is None or facts.compiled is None:
            return cls(calls, eager)
        call, cell = (
            after / before if before > 0 else usual
            for before, after, usual in zip(
                facts.eager, facts.compiled, (USUAL_CALL_RATIO, USUAL_CELL_RATIO), strict=True
            )
        )
        return cls(calls, eager, call, cell, facts.seconds)

    @property
    def compiled(self) -> Speed:
        """The speed to expect of the compiled model."""
        return Speed(self.call_ratio * self.eager.call, self.cell_ratio * self.eager.cell)

    @property
    def eager_seconds(self) -> float:
        """Time of all calls to come with the eager model (s)."""
        return sum(n * self.eager.seconds(cells) for cells, n in self.calls.items())

    @property
    def saved(self) -> float:
        """Time that the compiled model would save in them (s)."""
        after = sum(n * self.compiled.seconds(cells) for cells, n in self.calls.items())
        return self.eager_seconds - after

    @property
    def pays(self) -> bool:
        """True if compiling saves more time than it takes."""
        return self.saved > self.cost

    def text(self) -> str:
        """Write the figures in one line."""
        n = sum(self.calls.values())
        return (
            f"{n:,} calls of the model take {self.eager_seconds:.0f} s; compiled they would take "
            f"{max(self.saved, 0.0):.0f} s less, and compiling takes {self.cost:.0f} s"
        )


def add_calls(*grids: Mapping[int, int]) -> dict[int, int]:
    """Add the calls of several grids, by the number of cells of a call."""
    total: dict[int, int] = {}
    for grid in grids:
        for cells, n in grid.items():
            total[cells] = total.get(cells, 0) + n
    return total
