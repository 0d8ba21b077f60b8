"""A bias as a model of torch-sim, to be summed with any other.

    from torch_sim.models.interface import SumModel

    model = SumModel(model, TorchSimBias(dataset_bias(cells), k=0.5))

torch-sim 0.6 and newer, on Python 3.12 and newer, has `SumModel`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch_sim.models.interface import ModelInterface

from entropy_flows.biases.term import BiasTerm
from entropy_flows.entropy import Bias, Mode


class TorchSimBias(ModelInterface):
    """−k B of each cell of a `SimState`: energies, forces, stresses, and the measure by its name.

    Parameters
    ----------
    bias
        One of `biases.frames`, or any of `entropy.bias`.
    k
        Strength in eV; positive seeks entropy. `bias.k` may be changed between calls.
    mode
        As of `BiasTerm`.
    dtype
        That of the model beside it. The bias is computed in float64, and rounded to it.

    Notes
    -----
    Wherever torch-sim keeps what a model returns, the measure is beside it: `entropy` or `gain`.
    """

    def __init__(
        self,
        bias: Bias,
        k: float,
        mode: Mode | None = None,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        super().__init__()
        self.term = BiasTerm(bias, k, mode)
        self._device = self.term.device
        self._dtype = dtype
        self._compute_stress = True
        self._compute_forces = True

    @property
    def k(self) -> float:
        """Strength of the bias in eV."""
        return self.term.k

    @k.setter
    def k(self, k: float) -> None:
        self.term.k = k

    @ModelInterface.compute_stress.setter
    def compute_stress(self, compute_stress: bool) -> None:
        """Set whether stresses are among the results."""
        self._compute_stress = compute_stress

    @ModelInterface.compute_forces.setter
    def compute_forces(self, compute_forces: bool) -> None:
        """Set whether forces are among the results."""
        self._compute_forces = compute_forces

    def forward(self, state: Any, **_: Any) -> dict[str, Tensor]:
        """Compute the term of all cells of a state."""
        lattice = state.row_vector_cell
        pbc = torch.as_tensor(state.pbc, device=lattice.device).expand(len(lattice), 3)
        output = self.term(state.positions, state.atomic_numbers, lattice, pbc, state.system_idx)
        results = {"energy": output.energy, self.term.name: output.measure}
        if self._compute_forces:
            results["forces"] = output.forces
        if self._compute_stress:
            results["stress"] = output.stress
        return {name: value.detach().to(self._dtype) for name, value in results.items()}
