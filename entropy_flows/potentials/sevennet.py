"""SevenNet on many cells at once: one graph whose edges are our neighbour pairs.

    edge (i, j):  d = r_j + s L − r_i,   |d| < r_c

SevenNet computes in float32 and derives forces and stress from d, so positions and lattice vectors are only needed, in
float64, for d itself.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import sevenn._keys as key
import torch
from torch import Tensor

from entropy_flows.batch import Batch, Cells
from entropy_flows.neighbors import neighbors
from entropy_flows.potentials.batch import Evaluation
from entropy_flows.potentials.elements import atom_types
from entropy_flows.potentials.scope import default_dtype

SMALLEST_VOLUME = 1e-3
"""Å³; SevenNet takes what is smaller for no volume and divides by this instead."""

VOIGT = [0, 3, 5, 3, 1, 4, 5, 4, 2]
"""Where the components of a 3 × 3 stress are in SevenNet's order xx yy zz xy yz zx."""


class SevenNetModel:
    """A SevenNet model.

    Parameters
    ----------
    calculator
        SevenNet's ASE calculator. Its model is taken over: the calculator is of no use afterwards.
    device
        Torch device of the calculator.
    """

    def __init__(self, calculator: Any, device: str = "cpu") -> None:
        self.model, self.device, self.cutoff = calculator.model, device, float(calculator.cutoff)
        self.elements = tuple(int(number) for number in calculator.type_map)
        self.model.set_is_batch_data(True)
        self.model.requires_grad_(False)
        self._known: WeakKeyDictionary[Cells, dict[str, Tensor]] = WeakKeyDictionary()

    def __call__(self, batch: Batch) -> Evaluation:
        """Evaluate all cells."""
        with torch.enable_grad(), default_dtype("float32"):
            result = self.model(self._graph(batch.at(batch.positions.detach())))
        return Evaluation(
            result[key.PRED_TOTAL_ENERGY].detach().double(),
            result[key.PRED_FORCE].detach().double(),
            -result[key.PRED_STRESS].detach().double()[:, VOIGT].view(-1, 3, 3),
        )

    def _graph(self, batch: Batch) -> dict[str, Tensor]:
        fixed = self._known.get(batch.cells)
        if fixed is None:
            fixed = self._known[batch.cells] = self._fixed(batch.cells)
        pairs = neighbors(batch, self.cutoff)
        return {
            **fixed,
            key.EDGE_IDX: torch.stack([pairs.centers, pairs.members]),
            key.EDGE_VEC: pairs.vectors.to(torch.float32),
        }

    def _fixed(self, cells: Cells) -> dict[str, Tensor]:
        """What stays while atoms move."""
        atom_types(cells, self.elements, self.device)
        volumes = torch.where(cells.volumes < SMALLEST_VOLUME, torch.nan, cells.volumes)
        return {
            key.NODE_FEATURE: cells.species,  # replaced by the model
            key.ATOMIC_NUMBERS: cells.species,
            key.BATCH: cells.owner,
            key.NUM_ATOMS: torch.tensor(cells.sizes, device=cells.device),
            key.CELL_VOLUME: volumes.to(torch.float32),
        }
