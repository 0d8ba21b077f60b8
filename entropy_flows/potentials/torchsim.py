"""Models of torch-sim, which evaluate all cells of a `SimState` in one call."""

from __future__ import annotations

import sys
from typing import Any
from weakref import WeakKeyDictionary

import torch
from ase.data import atomic_masses
from torch import Tensor

from entropy_flows.batch import Batch, Cells
from entropy_flows.potentials.base import Evaluation


def is_torchsim(model: Any) -> bool:
    """Return whether an object is a model of torch-sim; torch-sim is not imported for it."""
    if "torch_sim" not in sys.modules:
        return False
    from torch_sim.models.interface import ModelInterface

    return isinstance(model, ModelInterface)


class TorchSimModel:
    """A model of torch-sim as a model of many cells.

    Parameters
    ----------
    model
        An instance of `torch_sim.models.interface.ModelInterface` that computes forces.
    """

    def __init__(self, model: Any) -> None:
        if not model.compute_forces:
            raise ValueError(f"{type(model).__name__} is set to compute no forces; they are needed")
        self.model = model
        self.device = str(torch.device(model.device))
        self._static: WeakKeyDictionary[Cells, dict[str, Any]] = WeakKeyDictionary()

    def __call__(self, batch: Batch) -> Evaluation:
        """Evaluate all cells."""
        from torch_sim.state import SimState

        static = self._static.get(batch.cells)
        if static is None:
            static = self._static[batch.cells] = self._static_inputs(batch.cells)
        positions = batch.positions.detach().to(self.model.dtype, copy=True)
        with torch.enable_grad():
            result = self.model(SimState(positions=positions, **static))
        return Evaluation(
            _copy(result["energy"].view(-1)),
            _copy(result["forces"]),
            _copy(result["stress"].view(-1, 3, 3)) if self.model.compute_stress else None,
        )

    def _static_inputs(self, cells: Cells) -> dict[str, Any]:
        """Build the inputs that stay while atoms move.

        Torch-sim keeps lattice vectors as columns, and one `pbc` for all cells.
        """
        if cells.device.type != torch.device(self.device).type:
            raise ValueError(f"the batch is on {cells.device}, the model on {self.device}")
        if (cells.pbc != cells.pbc[0]).any():
            raise ValueError(
                "torch-sim takes cells that repeat in the same directions; these differ"
            )
        pbc = cells.pbc[0]
        is_uniform = (pbc == pbc[0]).all()
        masses = torch.from_numpy(atomic_masses[cells.numbers])
        return {
            "masses": masses.to(cells.device, self.model.dtype),
            "cell": cells.vectors.mT.contiguous().to(self.model.dtype),
            "pbc": bool(pbc[0]) if is_uniform else torch.from_numpy(pbc).to(cells.device),
            "atomic_numbers": cells.species,
            "system_idx": cells.owner,
        }


def _copy(result: Tensor) -> Tensor:
    return result.detach().to(torch.float64, copy=True)
