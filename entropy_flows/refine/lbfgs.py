"""Short L-BFGS on the global entropy surface.

    E_refine = E_base - k_refine log det Σ(D ∪ {x})                               (Wang 2026, Eq. 7)

or, for a stated target, with the logarithm of what x takes off its unknown in place of log det Σ.

The base energy keeps the cell physical while the entropy pulls it away from what the data set
holds. The result is the visited cell of highest gain, not the last one: the minimum of the sum
need not be the maximum of the gain.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.optimize import LBFGS

from entropy_flows.entropy import RefineSurface, SufficientStatistics, VarianceStatistics
from entropy_flows.faults import is_machine_fault
from entropy_flows.fingerprints import Fingerprint
from entropy_flows.geometry import shortest_distance
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
    atoms: Atoms,
    base: Calculator,
    fingerprint: Fingerprint,
    statistics: SufficientStatistics | VarianceStatistics,
    params: RefineParams,
) -> Refined:
    """Maximise what a candidate would add to the data set.

    Parameters
    ----------
    atoms
        Candidate; not changed.
    base
        Current model.
    fingerprint, statistics
        Fingerprint and statistics of the data set: those of the candidate's mode, or those that
        have a target.
    params
        See `RefineParams`.

    Raises
    ------
    Exception
        Only for what the machine did wrong; a model that refuses a cell ends the search.
    """
    moving = atoms.copy()
    moving.calc = RefineSurface(base, fingerprint, statistics, params.k, gradient=params.gradient)
    before = best = float(statistics.gain(fingerprint(atoms)))
    best_positions = moving.get_positions()
    steps = 0
    refused = None
    optimizer = LBFGS(moving, logfile=os.devnull, maxstep=params.max_step)
    try:
        for _ in optimizer.irun(fmax=params.fmax, steps=params.max_steps):
            steps = optimizer.get_number_of_steps()
            gain = moving.calc.results.get("gain", float("nan"))
            if not np.isfinite(gain) or shortest_distance(moving)[1] < params.min_distance_fraction:
                break
            if gain > best:
                best = float(gain)
                best_positions = moving.get_positions()
    except Exception as err:  # a model may refuse a cell in many ways; the best cell so far stays
        if is_machine_fault(err):
            raise
        refused = f"calculator: {type(err).__name__}: {' '.join(str(err).split())}"[:300]
    refined = atoms.copy()
    refined.set_positions(best_positions)
    return Refined(refined, before, best, steps, refused)
