"""SevenNet on many cells at once: one graph whose edges are our neighbour pairs.

    edge (i, j):  d = r_j + s L − r_i,   |d| < r_c

SevenNet computes in float32 and derives forces and stress from d, so positions and lattice vectors
are only needed, in float64, for d itself.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import sevenn._keys as key
import torch
from torch import Tensor

from entropy_flows.batch import Batch, Cells
from entropy_flows.neighbors import Pairs, neighbors
from entropy_flows.potentials.base import Evaluation
from entropy_flows.potentials.elements import atom_types
from entropy_flows.potentials.scope import default_dtype

MIN_VOLUME = 1e-3
"""Å³; SevenNet takes a smaller volume for none and divides by this instead."""

VOIGT = [0, 3, 5, 3, 1, 4, 5, 4, 2]
"""Positions of a 3 × 3 stress's components in SevenNet's order xx yy zz xy yz zx."""


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
        self.model = calculator.model
        self.device = device
        self.cutoff = float(calculator.cutoff)
        self.modality: int | None = None
        if calculator.modal is not None:
            self.modality = int(calculator.model.modal_map[calculator.modal])
        self.elements = tuple(int(number) for number in calculator.type_map)
        # From here on it takes graphs of many cells, which the calculator does not make.
        self.model.set_is_batch_data(True)
        self.model.requires_grad_(False)
        # The modality is given by its number, not by its name.
        self.model.eval_modal_map = False
        self._static: WeakKeyDictionary[Cells, dict[str, Tensor]] = WeakKeyDictionary()

    def __call__(self, batch: Batch) -> Evaluation:
        """Evaluate all cells."""
        with torch.enable_grad(), default_dtype("float32"):
            pairs = neighbors(batch.at(batch.positions.detach()), self.cutoff)
            result = self.model(self.graph(batch.cells, pairs))
        return Evaluation(
            result[key.PRED_TOTAL_ENERGY].detach().double(),
            result[key.PRED_FORCE].detach().double(),
            -result[key.PRED_STRESS].detach().double()[:, VOIGT].view(-1, 3, 3),
        )

    def graph(
        self, cells: Cells, pairs: Pairs, dtype: torch.dtype = torch.float32
    ) -> dict[str, Tensor]:
        """Build the model's inputs of cells and their pairs."""
        static = self._static.get(cells)
        if static is None:
            static = self._static[cells] = self._static_inputs(cells)
        return {
            **static,
            key.EDGE_IDX: torch.stack([pairs.centers, pairs.members]),
            key.EDGE_VEC: pairs.vectors.to(dtype),
        }

    def _static_inputs(self, cells: Cells) -> dict[str, Tensor]:
        """Build the inputs that stay while atoms move."""
        atom_types(cells, self.elements, self.device)
        volumes = torch.where(cells.volumes < MIN_VOLUME, torch.nan, cells.volumes)
        modality = {}
        if self.modality is not None:
            numbers = torch.full((len(cells),), self.modality, device=cells.device)
            modality = {key.MODAL_TYPE: numbers}
        return {
            **modality,
            key.NODE_FEATURE: cells.species,  # replaced by the model
            key.ATOMIC_NUMBERS: cells.species,
            key.BATCH: cells.owner,
            key.NUM_ATOMS: torch.tensor(cells.sizes, device=cells.device),
            key.CELL_VOLUME: volumes.to(torch.float32),
        }
