"""Cells moved uphill on what a data set would gain by them.

    F(C | S) = K log det Σ(S ∪ C) − V_core(C)    (1)

======  ============================================================
symbol  meaning
======  ============================================================
S       the data set, which stays
C       the candidate: its atoms move, its cell does not
K       weight of the entropy; V_core has no unit, and K none
======  ============================================================

Several candidates move at once, each on its own F against the same S: one call of the fingerprint
serves them all. The optimiser is ASE's FIRE, one for each cell. The positions of highest F are
returned, not the last ones.

Source: Subramanyam 2025, Eq. 4 and section 2.1, which leaves the optimiser open.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.optimize import FIRE
from torch import Tensor

from entropy_flows.batch import Batch
from entropy_flows.entropy import GlobalBias, Mode, SufficientStatistics
from entropy_flows.explore.core import core_repulsion
from entropy_flows.explore.revem_params import AscentParams
from entropy_flows.fingerprints import Fingerprint

FIRST_STEP = 0.5
"""FIRE's first time step.

Forces of (1) are of the order of 1/Å; FIRE's own 0.1 is meant for the forces of bonds.
"""


HeightFunction = Callable[[Batch], tuple[Tensor, Tensor]]
"""Maps cells to their heights (B,) and the gradient of these (n, 3)."""


def repulsion(r_core: float) -> HeightFunction:
    """Return −V_core, whose ascent moves the atoms of random cells away from each other."""

    def height(batch: Batch) -> tuple[Tensor, Tensor]:
        core = core_repulsion(batch, r_core)
        return -core.value, -core.gradient

    return height


@dataclass(frozen=True)
class Objective:
    """F of cells, up to the constant K log det Σ(S).

    Attributes
    ----------
    k
        Weight K of the entropy.
    r_core
        Range of the repulsion (Å).
    fingerprint, statistics
        Those of the data set S; the statistics' mode is that of the candidates.
    """

    k: float
    r_core: float
    fingerprint: Fingerprint
    statistics: SufficientStatistics

    def __call__(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Compute K ΔH − V_core of each cell (B,), and its gradient (n, 3) in 1/Å."""
        core = core_repulsion(batch, self.r_core)
        mode: Mode = self.statistics.mode
        bias = GlobalBias(self.fingerprint, {mode: self.statistics})
        entropy = bias(batch, [mode] * len(batch))
        height = self.k * entropy.measure - core.value
        gradient = self.k * entropy.gradient - core.gradient
        return height, gradient


def ascend(cells: Sequence[Atoms], height: HeightFunction, params: AscentParams) -> list[Atoms]:
    """Move each cell's atoms uphill.

    Parameters
    ----------
    cells
        Where to begin; not changed.
    height
        F, or any other function of cells.
    params
        When to stop.

    Returns
    -------
    list of Atoms
        Copies, each where it was highest.
    """
    moving = [atoms.copy() for atoms in cells]
    climbers = [
        FIRE(atoms, logfile=None, dt=FIRST_STEP, maxstep=params.max_step) for atoms in moving
    ]
    best = np.full(len(cells), -np.inf)
    best_positions = [atoms.positions.copy() for atoms in cells]
    active = list(range(len(cells)))
    batch = Batch.of(moving)
    for step in range(params.max_steps + 1):
        values, gradient = height(batch)
        slopes = np.split(gradient.cpu().numpy(), batch.cells.first[1:-1])
        for index, value in zip(active, values.tolist(), strict=True):
            if value > best[index]:
                best[index] = value
                best_positions[index] = moving[index].positions.copy()
        steep = [float(np.linalg.norm(slope, axis=1).max()) > params.slope for slope in slopes]
        if step == params.max_steps or not any(steep):
            break
        for index, slope, goes_on in zip(active, slopes, steep, strict=True):
            if goes_on:
                moving[index].calc = SinglePointCalculator(moving[index], forces=slope)
                climbers[index].step()
        active = [index for index, goes_on in zip(active, steep, strict=True) if goes_on]
        batch = _moved(batch, steep, [moving[index].positions for index in active])
    highest = [atoms.copy() for atoms in cells]
    for atoms, positions in zip(highest, best_positions, strict=True):
        atoms.positions = positions
    return highest


def _moved(batch: Batch, stays: Sequence[bool], positions: Sequence[np.ndarray]) -> Batch:
    """Return the cells that stay in the batch, with their atoms at these positions."""
    cells = batch.cells
    # the same object keeps what was computed of its cells before, such as their images
    if not all(stays):
        cells = cells.take([index for index, stay in enumerate(stays) if stay])
    return Batch(cells, torch.from_numpy(np.concatenate(positions)).to(cells.device))
