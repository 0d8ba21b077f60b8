"""SevenNet on many cells at once: one graph whose edges are our neighbour pairs.

    edge (i, j):  d = r_j + s L − r_i,   |d| < r_c

SevenNet computes in float32 and derives forces and stress from d, so positions and lattice vectors
are only needed, in float64, for d itself. The graph is that of the adapter by which a process of
another environment evaluates SevenNet.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import sevenn._keys as key
import torch
from torch import Tensor

from entropy_flows.batch import Batch, Cells
from entropy_flows.environments.foreign.sevennet import GraphModel
from entropy_flows.neighbors import Pairs, neighbors
from entropy_flows.potentials.base import Evaluation
from entropy_flows.potentials.elements import atom_types
from entropy_flows.potentials.scope import default_dtype


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
        self._graphs = GraphModel(calculator)
        self.model = self._graphs.model
        self.cutoff = self._graphs.cutoff
        self.device = device
        self._static: WeakKeyDictionary[Cells, dict[str, Tensor]] = WeakKeyDictionary()

    def __call__(self, batch: Batch) -> Evaluation:
        """Evaluate all cells."""
        with default_dtype("float32"):
            pairs = neighbors(batch.at(batch.positions.detach()), self.cutoff)
            return Evaluation(*self._graphs.evaluate(self.graph(batch.cells, pairs)))

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
        atom_types(cells, self._graphs.elements, self.device)
        return self._graphs.static_inputs(cells.species, cells.owner, cells.sizes, cells.vectors)
