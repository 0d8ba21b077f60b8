"""Adapter of SevenNet's models: one graph of many cells, whose edges the job has found.

SevenNet computes in float32 and derives forces and stress from the edges' vectors. The job's own
Python evaluates SevenNet by the same class, so that an environment changes no bit.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import sevenn._keys as key
import torch
from sevenn.calculator import SevenNetCalculator
from torch import Tensor

MIN_VOLUME = 1e-3
"""Å³; SevenNet takes a smaller volume for none and divides by this instead."""
VOIGT = [0, 3, 5, 3, 1, 4, 5, 4, 2]
"""Positions of a 3 × 3 stress's components in SevenNet's order xx yy zz xy yz zx."""

_RECONSTRUCT: Any = np.zeros(1).__reduce__()[0]
PLAIN: list[Any] = [
    *(np.ndarray, np.dtype, np.dtypes.Float64DType, np.dtypes.Float32DType, np.dtypes.Int64DType),
    *((_RECONSTRUCT, f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")),
]
"""Classes that SevenNet's checkpoints hold beside tensors and plain values."""


def read_plain(path: str | Path) -> None:
    """Read a checkpoint as tensors, arrays and plain values; anything else in it is refused.

    SevenNet unpickles whatever is in it. What passes here can be unpickled without running code.
    """
    with torch.serialization.safe_globals(PLAIN):
        torch.load(path, map_location="cpu", weights_only=True)


def load_calculator(name: str, arguments: dict[str, Any], device: str) -> SevenNetCalculator:
    """Load SevenNet's own calculator, of a name that it knows or of a checkpoint."""
    if Path(name).is_file():
        read_plain(name)
    return SevenNetCalculator(name, device=device, **arguments)


def load_batch_model(name: str, arguments: dict[str, Any], device: str) -> BatchModel:
    """Load a model that evaluates many cells as one graph."""
    return BatchModel(GraphModel(load_calculator(name, arguments, device)), device)


class GraphModel:
    """A SevenNet model that takes graphs of many cells.

    Parameters
    ----------
    calculator
        SevenNet's ASE calculator. Its model is taken over: the calculator is of no use afterwards.
    """

    def __init__(self, calculator: Any) -> None:
        self.model = calculator.model
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

    def static_inputs(
        self, species: Tensor, owner: Tensor, sizes: list[int], lattice: Tensor
    ) -> dict[str, Tensor]:
        """Build the inputs that stay while atoms move.

        Parameters
        ----------
        species, owner
            Atomic number and cell of each atom (n,).
        sizes
            Atoms of each of the B cells.
        lattice
            Lattice vectors (B, 3, 3) in Å.
        """
        volumes = torch.linalg.det(lattice).abs()
        modality = {}
        if self.modality is not None:
            numbers = torch.full((len(sizes),), self.modality, device=species.device)
            modality = {key.MODAL_TYPE: numbers}
        return {
            **modality,
            key.NODE_FEATURE: species,  # replaced by the model
            key.ATOMIC_NUMBERS: species,
            key.BATCH: owner,
            key.NUM_ATOMS: torch.tensor(sizes, device=species.device),
            key.CELL_VOLUME: torch.where(volumes < MIN_VOLUME, torch.nan, volumes).float(),
        }

    def evaluate(self, graph: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Evaluate a graph: energies (B,), forces (n, 3) and stresses (B, 3, 3), in float64."""
        with torch.enable_grad():
            result = self.model(graph)
        stress = -result[key.PRED_STRESS].detach().double()[:, VOIGT].view(-1, 3, 3)
        energy = result[key.PRED_TOTAL_ENERGY].detach().double()
        return energy, result[key.PRED_FORCE].detach().double(), stress


class BatchModel:
    """A SevenNet model on the arrays of a job."""

    def __init__(self, model: GraphModel, device: str) -> None:
        self.model = model
        self.device = device
        self.cutoff = model.cutoff
        self.elements = model.elements

    def __call__(self, cells: Any, positions: np.ndarray, pairs: Any) -> dict[str, np.ndarray]:
        """Evaluate all cells."""
        if "graph" not in cells.inputs:
            cells.inputs["graph"] = self._static_inputs(cells)
        graph = {
            **cells.inputs["graph"],
            key.EDGE_IDX: self._tensor(np.stack([pairs.centers, pairs.members])),
            key.EDGE_VEC: self._tensor(pairs.vectors).float(),
        }
        energy, forces, stress = self.model.evaluate(graph)
        arrays = {"energy": energy, "forces": forces, "stress": stress}
        return {name: tensor.cpu().numpy() for name, tensor in arrays.items()}

    def _static_inputs(self, cells: Any) -> dict[str, Tensor]:
        unknown = sorted(set(cells.numbers.tolist()) - set(self.elements))
        if unknown:
            raise ValueError(f"the model does not know the elements of atomic numbers {unknown}")
        return self.model.static_inputs(
            self._tensor(cells.numbers),
            self._tensor(cells.owner),
            cells.sizes.tolist(),
            self._tensor(cells.lattice),
        )

    def _tensor(self, array: np.ndarray) -> Tensor:
        # a copy: what came over the wire is read-only
        return torch.tensor(array, device=self.device)
