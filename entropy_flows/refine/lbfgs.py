"""Short L-BFGS on the global entropy surface.

    E_refine = E_base - k_refine log det Σ(D ∪ {x})                               (Wang 2026, Eq. 7)

or, for a stated target, with the logarithm of what x takes off its unknown in place of log det Σ.

The base energy keeps the cell physical while the entropy pulls it away from what the data set
holds. The result is the visited cell of highest gain, not the last one: the minimum of the sum
need not be the maximum of the gain. Many cells move together, in one call of the model a step; none
knows of the others.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.optimize import LBFGS

from entropy_flows.batch import Batch
from entropy_flows.conventions import Array
from entropy_flows.entropy import (
    Bias,
    GlobalBias,
    Mode,
    SufficientStatistics,
    TargetBias,
    VarianceStatistics,
)
from entropy_flows.faults import by_halves, error_line
from entropy_flows.fingerprints import Fingerprint
from entropy_flows.geometry import shortest_distance
from entropy_flows.potentials import BatchModel
from entropy_flows.refine.params import RefineParams


@dataclass(frozen=True)
class Refined:
    """The best cell on the way, and its gain before and after."""

    atoms: Atoms
    gain_before: float
    gain_after: float
    steps: int
    refused: str | None = None
    """Why the model refused a cell on the way, which ended the search; None if it did not."""


def refine(
    cells: Sequence[Atoms],
    model: BatchModel,
    fingerprint: Fingerprint,
    statistics: SufficientStatistics | VarianceStatistics,
    params: RefineParams,
) -> list[Refined]:
    """Maximise what each candidate would add to the data set.

    Parameters
    ----------
    cells
        Candidates; not changed.
    model
        Current model.
    fingerprint, statistics
        Fingerprint and statistics of the data set: those of the candidates' mode, or those that
        have a target.
    params
        See `RefineParams`.

    Returns
    -------
    list of Refined
        In the order of the cells.

    Raises
    ------
    Exception
        Only for what the machine did wrong; a model that refuses a cell ends its search.
    """
    gains = [float(statistics.gain(q)) for q in fingerprint(cells)]
    searches = [_Search(atoms, gain, params) for atoms, gain in zip(cells, gains, strict=True)]
    bias, mode = _bias(fingerprint, statistics, params)

    def evaluate(searches: Sequence[_Search]) -> list[tuple[Array, float]]:
        moving = [search.moving for search in searches]
        return _evaluate(moving, model, bias, mode, params.k)

    active = searches
    while active:
        results = by_halves(active, evaluate)
        active = [
            search
            for search, result in zip(active, results, strict=True)
            if search.goes_on_after(result)
        ]
    return [search.result() for search in searches]


class _Search:
    """The way of one cell; `moving` is where it is now."""

    def __init__(self, atoms: Atoms, gain: float, params: RefineParams) -> None:
        self.params = params
        self.start = atoms
        self.moving = atoms.copy()
        self.before = self.best = gain
        self.best_positions = atoms.get_positions()
        self.steps = 0
        self.refused: str | None = None
        self.optimizer = LBFGS(self.moving, logfile=os.devnull, maxstep=params.max_step)

    def goes_on_after(self, result: tuple[Array, float] | Exception) -> bool:
        """Book forces and gain where the cell is now, and move it; False if the search ends."""
        if isinstance(result, Exception):
            self.refused = f"calculator: {error_line(result)}"[:300]
            return False
        forces, gain = result
        closest = shortest_distance(self.moving)[1]
        if not np.isfinite(gain) or closest < self.params.min_distance_fraction:
            return False
        if gain > self.best:
            self.best = gain
            self.best_positions = self.moving.get_positions()
        is_converged = np.linalg.norm(forces, axis=1).max() < self.params.fmax
        if is_converged or self.steps == self.params.max_steps:
            return False
        self.moving.calc = SinglePointCalculator(self.moving, forces=forces)
        self.optimizer.step()
        self.steps += 1
        return True

    def result(self) -> Refined:
        """Return the cell of highest gain."""
        refined = self.start.copy()
        refined.set_positions(self.best_positions)
        return Refined(refined, self.before, self.best, self.steps, self.refused)


def _bias(
    fingerprint: Fingerprint,
    statistics: SufficientStatistics | VarianceStatistics,
    params: RefineParams,
) -> tuple[Bias, Mode]:
    """Return the bias of the data set, and the mode in which cells are judged."""
    if isinstance(statistics, VarianceStatistics):
        return TargetBias(fingerprint, statistics), "atom"
    mode = statistics.mode
    return GlobalBias(fingerprint, {mode: statistics}, params.gradient), mode


def _evaluate(
    cells: Sequence[Atoms], model: BatchModel, bias: Bias, mode: Mode, k: float
) -> list[tuple[Array, float]]:
    """Return the forces on the surface (n, 3) in eV/Å, and the gain of each cell."""
    batch = Batch.of(cells, model.device)
    forces = model(batch).forces.cpu().numpy()
    device = bias.fingerprint.device
    output = bias(batch if device == model.device else Batch.of(cells, device), [mode] * len(batch))
    biased = forces + k * output.gradient.cpu().numpy()
    return list(
        zip(np.split(biased, batch.cells.first[1:-1]), output.measure.tolist(), strict=True)
    )
