"""A data set of cells without physics: random cells, each moved to where it adds most ("Rev-EM").

For one volume window and one mode, from a few random cells on:

    C = a random cell of the window, moved uphill on F = K log det Σ(S ∪ C) − V_core(C)
    rejected if two atoms are closer than R_min = 0.9 R_core          K falls
    rejected if log det Σ(S ∪ C) ≤ log det Σ(S)                       K rises after a few
    else S ← S ∪ C

`lockstep` candidates are moved at once, against the S and with the K at the beginning of their
batch. They are judged one after the other, each against S as it is by then. With lockstep = 1 this
is the loop of Subramanyam 2025 to the letter.

The paper tunes K "empirically on the fly" and gives no numbers; those of `StrengthParams` are this
package's.

Source: Subramanyam 2025, sections 2.1 and 5.1.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms

from entropy_flows.batch import Batch
from entropy_flows.conventions import Array
from entropy_flows.entropy import SufficientStatistics
from entropy_flows.explore.ascent import Objective, ascend, repulsion
from entropy_flows.explore.cells import Window, random_cell
from entropy_flows.explore.core import core_repulsion
from entropy_flows.explore.revem_params import RevEMParams, TrialOutcome
from entropy_flows.fingerprints import Fingerprint

MAX_RATIO = 2.0
"""Factor by which K changes at most in a batch, all of whose candidates were moved with one K."""
DRAWS_PER_CELL = 100
"""Random cells drawn for each that is asked for, before the search is given up."""


@dataclass(frozen=True)
class AcceptedCell:
    """One cell of the data set, with its history.

    Attributes
    ----------
    atoms
        The cell.
    candidate
        Number among the candidates, from 1; 0 for a random cell of the beginning.
    k
        Weight K when it was moved; 0 for a random cell.
    gain
        Gain ΔH when it was accepted.
    entropy
        log det Σ of the data set with it.
    """

    atoms: Atoms
    candidate: int
    k: float
    gain: float
    entropy: float


class RevEM:
    """Loop over candidates; it may stop after any batch and go on with the same bits.

    Parameters
    ----------
    symbol
        Element.
    window
        Volumes and exclusion radius.
    statistics
        Statistics of the data set so far, in the mode of this search; taken over, not copied.
    fingerprint
        Fingerprint of the statistics.
    params
        See `RevEMParams`.
    rng
        Source of all that is random.

    Attributes
    ----------
    accepted
        The data set.
    done
        Number of candidates that were judged.
    k, failures
        K now, and failures to raise the entropy in a row.
    counts
        Outcome → number of candidates.
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
        self.symbol = symbol
        self.window = window
        self.params = params
        self.rng = rng
        self.statistics = statistics
        self.fingerprint = fingerprint
        self.accepted: list[AcceptedCell] = []
        self.done = 0
        self.k = params.strength.start
        self.failures = 0
        self.counts: Counter[str] = Counter()

    @property
    def finished(self) -> bool:
        """True when all candidates were judged."""
        return self.done >= self.params.iterations

    def run(self, on_batch: Callable[[RevEM], None] = lambda _: None) -> None:
        """Go on to the end; `on_batch` is called after each batch."""
        while not self.finished:
            self.advance()
            on_batch(self)

    def advance(self) -> None:
        """Judge one batch of candidates, after the random cells if there are none yet."""
        # through its bytes, as in a search that is resumed here, so that both have the same bits
        self.statistics = SufficientStatistics.from_bytes(self.statistics.to_bytes())
        if not self.accepted:
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
        fingerprints = self.fingerprint(raised)
        distant = has_no_close_contacts(raised, self.window)
        for atoms, q, is_distant in zip(raised, fingerprints, distant, strict=True):
            self.done += 1
            outcome: TrialOutcome = self._judge(atoms, q, k) if is_distant else "close"
            self.counts[outcome] += 1
            self.k, self.failures = self.params.strength.after(self.k, self.failures, outcome)
        self.k = min(max(self.k, k / MAX_RATIO), k * MAX_RATIO)

    def _judge(self, atoms: Atoms, q: Array, k: float) -> TrialOutcome:
        """Accept a cell that raises the entropy."""
        return "accepted" if self._add(atoms, q, self.done, k, above=0.0) else "entropy"

    def _add(
        self, atoms: Atoms, q: Array, candidate: int, k: float, above: float = -np.inf
    ) -> bool:
        """Add a cell with fingerprints q to the data set, if its gain is above a threshold."""
        gain = self.statistics.gain(q)
        if not gain > above:
            return False
        self.statistics.add(q)
        self.accepted.append(AcceptedCell(atoms, candidate, k, gain, self.statistics.entropy()))
        return True

    def state(self) -> dict[str, Any]:
        """Return everything that changes, as plain values, bytes and the accepted cells."""
        return {
            "done": self.done,
            "k": self.k,
            "failures": self.failures,
            "counts": dict(self.counts),
            "rng": self.rng.bit_generator.state,
            "statistics": self.statistics.to_bytes(),
            "accepted": list(self.accepted),
        }

    def resume(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self.done = state["done"]
        self.k = state["k"]
        self.failures = state["failures"]
        self.counts = Counter(state["counts"])
        self.rng.bit_generator.state = state["rng"]
        self.statistics = SufficientStatistics.from_bytes(state["statistics"])
        self.accepted = list(state["accepted"])


def random_cells(
    symbol: str, window: Window, count: int, params: RevEMParams, rng: np.random.Generator
) -> list[Atoms]:
    """Draw random cells of a window in which no pair is closer than R_min.

    V_core alone moves their atoms away from each other.

    Raises
    ------
    ValueError
        If hardly any cell ends without close contacts.
    """
    cells: list[Atoms] = []
    drawn = 0
    while len(cells) < count and drawn < DRAWS_PER_CELL * count:
        size = min(params.lockstep, count - len(cells))
        starts = [random_cell(symbol, window, params.shape, rng) for _ in range(size)]
        relaxed = ascend(starts, repulsion(window.r_core), params.ascent)
        cells += itertools.compress(relaxed, has_no_close_contacts(relaxed, window))
        drawn += size
    if len(cells) == count:
        return cells
    raise ValueError(
        f"window {window.index}: {len(cells)} of {drawn} random cells have no pair below "
        f"{window.r_min:.2f} Å; expected a smaller R_core than {window.r_core:.2f} Å at "
        f"{window.low:.2f} Å³/atom"
    )


def has_no_close_contacts(cells: list[Atoms], window: Window) -> list[bool]:
    """Return for each cell whether no pair is closer than R_min."""
    closest = core_repulsion(Batch.of(cells), window.r_core).closest
    return [distance >= window.r_min for distance in closest.tolist()]
