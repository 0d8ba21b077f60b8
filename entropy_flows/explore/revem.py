"""A data set of cells without physics: random cells, each moved to where it adds most (Subramanyam 2025, "Rev-EM").

For one volume window and one mode, from a few random cells on:

    C = a random cell of the window, moved uphill on F = K log det Σ(S ∪ C) − V_core(C)
    rejected if two atoms are closer than R_min = 0.9 R_core                                  K falls
    rejected if log det Σ(S ∪ C) ≤ log det Σ(S)                                               K rises after a few
    else S ← S ∪ C

`lockstep` candidates are moved at once, against the S and with the K at the beginning of their
batch, and are judged one after the other, each against S as it is by then; with lockstep = 1 this
is the paper's loop to the letter.

The paper tunes K "empirically on the fly" and gives no numbers; those of `StrengthParams` are this
package's.

Source: Subramanyam and Perez, npj Comput. Mater. 11, 218 (2025), sections 2.1 and 5.1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from ase import Atoms
from pydantic import Field

from entropy_flows.batch import Batch
from entropy_flows.conventions import Array
from entropy_flows.entropy import SufficientStatistics
from entropy_flows.explore.ascent import AscentParams, Objective, ascend, repulsion
from entropy_flows.explore.cells import ShapeParams, Window, random_cell
from entropy_flows.explore.core import core_repulsion
from entropy_flows.fingerprints import Fingerprint
from entropy_flows.params import Params

TrialOutcome = Literal["accepted", "close", "entropy"]
MOST = 2.0
"""Factor by which K changes at most in a batch, all of whose candidates were moved with one K."""
TRIES = 100
"""Random cells drawn for each that is wanted, before it is given up."""


class StrengthParams(Params):
    """How K follows what becomes of the candidates."""

    start: float = Field(0.3, gt=0)
    """K at the beginning."""
    patience: int = Field(3, ge=1)
    """Candidates in a row that fail to raise the entropy, after which K rises once."""
    rise: float = Field(1.2, ge=1, le=10)
    """Factor by which K rises."""
    fall: float = Field(0.8, gt=0, le=1)
    """Factor by which K falls after each rejection for R_min."""
    lowest: float = Field(1e-2, gt=0)
    """K does not fall below this."""
    highest: float = Field(1e3, gt=0)
    """K does not rise above this."""

    def after(self, k: float, failures: int, verdict: TrialOutcome) -> tuple[float, int]:
        """K, and the failures in a row, after a candidate; one that was too close neither counts nor ends the row."""
        if verdict == "accepted":
            return k, 0
        if verdict == "close":
            return max(k * self.fall, self.lowest), failures
        if failures + 1 < self.patience:
            return k, failures + 1
        return min(k * self.rise, self.highest), 0


class RevEMParams(Params):
    """One window in one mode."""

    iterations: int = Field(25_000, ge=1)
    """Candidates, beside the random cells at the beginning."""
    bootstrap: int = Field(10, ge=2)
    """Random cells at the beginning; they, too, have no pair closer than R_min."""
    lockstep: int = Field(16, ge=1)
    """Candidates moved at once; 1 is the paper's loop."""
    shape: ShapeParams = ShapeParams()
    strength: StrengthParams = StrengthParams()
    ascent: AscentParams = AscentParams()


@dataclass(frozen=True)
class AcceptedCell:
    """A cell of the data set.

    Attributes
    ----------
    atoms
        The cell.
    candidate
        Its number among the candidates, from 1; 0 for a random cell of the beginning.
    k
        K when it was moved; 0 for a random cell.
    gain
        ΔH when it was accepted.
    entropy
        log det Σ with it.
    """

    atoms: Atoms
    candidate: int
    k: float
    gain: float
    entropy: float


class RevEM:
    """The loop over candidates, which may stop after any batch and go on with the same bits.

    Parameters
    ----------
    symbol
        Element.
    window
        Volumes and exclusion radius.
    statistics
        Of the data set so far, in the mode of this run; taken over, not copied.
    fingerprint
        Of the statistics.
    params
        See `RevEMParams`.
    rng
        Source of all that is random.

    Attributes
    ----------
    found
        The data set.
    done
        Candidates that were judged.
    k, failures
        K now, and failures to raise the entropy in a row.
    counts
        Verdict → candidates.
    """

    def __init__(
        self,
        symbol: str,
        window: Window,
        statistics: SufficientStatistics,
        fingerprint: Fingerprint,
        params: RevEMParams,
        rng: np.random.Generator,
    ) -> None:
        self.symbol, self.window, self.params, self.rng = symbol, window, params, rng
        self.statistics, self.fingerprint = statistics, fingerprint
        self.found: list[AcceptedCell] = []
        self.done, self.k, self.failures = 0, params.strength.start, 0
        self.counts: Counter[str] = Counter()

    @property
    def finished(self) -> bool:
        """Whether all candidates were judged."""
        return self.done >= self.params.iterations

    def run(self, on_batch: Callable[[RevEM], None] = lambda _: None) -> None:
        """Go on to the end; `on_batch` is called after each batch."""
        while not self.finished:
            self.advance()
            on_batch(self)

    def advance(self) -> None:
        """One batch of candidates, after the random cells if there are none yet."""
        self.statistics = SufficientStatistics.from_bytes(
            self.statistics.to_bytes()
        )  # bits of one that is resumed
        if not self.found:
            first = random_cells(
                self.symbol, self.window, self.params.bootstrap, self.params, self.rng
            )
            for atoms, q in zip(first, self.fingerprint(first), strict=True):
                self._add(atoms, q, 0, 0.0)
        count = min(self.params.lockstep, self.params.iterations - self.done)
        starts = [
            random_cell(self.symbol, self.window, self.params.shape, self.rng) for _ in range(count)
        ]
        k = self.k
        objective = Objective(k, self.window.r_core, self.fingerprint, self.statistics)
        raised = ascend(starts, objective, self.params.ascent)
        for atoms, q, keeps in zip(
            raised, self.fingerprint(raised), apart(raised, self.window), strict=True
        ):
            self.done += 1
            verdict: TrialOutcome = self._judge(atoms, q, k) if keeps else "close"
            self.counts[verdict] += 1
            self.k, self.failures = self.params.strength.after(self.k, self.failures, verdict)
        self.k = min(max(self.k, k / MOST), k * MOST)

    def _judge(self, atoms: Atoms, q: Array, k: float) -> TrialOutcome:
        return "accepted" if self._add(atoms, q, self.done, k, above=0.0) else "entropy"

    def _add(
        self, atoms: Atoms, q: Array, candidate: int, k: float, above: float = -np.inf
    ) -> bool:
        """Take a cell with fingerprints q into the data set, if its gain is above this."""
        gain = self.statistics.gain(q)
        if not gain > above:
            return False
        self.statistics.add(q)
        self.found.append(AcceptedCell(atoms, candidate, k, gain, self.statistics.entropy()))
        return True

    def state(self) -> dict[str, Any]:
        """Everything that changes, as plain values, bytes and the cells found."""
        return {
            "done": self.done,
            "k": self.k,
            "failures": self.failures,
            "counts": dict(self.counts),
            "rng": self.rng.bit_generator.state,
            "statistics": self.statistics.to_bytes(),
            "found": list(self.found),
        }

    def resume(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self.done, self.k, self.failures = state["done"], state["k"], state["failures"]
        self.counts = Counter(state["counts"])
        self.rng.bit_generator.state = state["rng"]
        self.statistics = SufficientStatistics.from_bytes(state["statistics"])
        self.found = list(state["found"])


def random_cells(
    symbol: str, window: Window, count: int, params: RevEMParams, rng: np.random.Generator
) -> list[Atoms]:
    """Random cells of a window in which no pair is closer than R_min: drawn, and parted by V_core alone.

    Raises
    ------
    ValueError
        If hardly any can be parted.
    """
    found: list[Atoms] = []
    drawn = 0
    while len(found) < count and drawn < TRIES * count:
        size = min(params.lockstep, count - len(found))
        cells = [random_cell(symbol, window, params.shape, rng) for _ in range(size)]
        parted = ascend(cells, repulsion(window.r_core), params.ascent)
        found += [
            atoms for atoms, keeps in zip(parted, apart(parted, window), strict=True) if keeps
        ]
        drawn += size
    if len(found) == count:
        return found
    raise ValueError(
        f"window {window.index}: {len(found)} of {drawn} random cells have no pair below {window.r_min:.2f} Å; "
        f"expected a smaller R_core than {window.r_core:.2f} Å at {window.low:.2f} Å³/atom"
    )


def apart(cells: list[Atoms], window: Window) -> list[bool]:
    """Whether each cell has no pair closer than R_min."""
    closest = core_repulsion(Batch.of(cells), window.r_core).closest
    return [distance >= window.r_min for distance in closest.tolist()]
