"""A bias for NVIDIA's ALCHEMI toolkit, on top of any of its models.

    from nvalchemi.enhanced_sampling import EnhancedSampling

    bias = AlchemiBias(dataset_bias(cells), k=0.5)
    EnhancedSampling(model=model, biases={bias.name: bias}, ...)    # or: NVE(model + bias, ...)

The toolkit adds up its model and all biases in one hook of its dynamics. Its older
`BiasedPotentialHook`, which has no place for a stress, is not served.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from nvalchemi.enhanced_sampling import ConservativeBias
from torch import Tensor

from entropy_flows.biases.term import BiasTerm
from entropy_flows.entropy import Bias, Mode


class AlchemiBias(ConservativeBias):
    """−k B of each graph of a batch: energies, forces, stresses, and the measure as a diagnostic.

    Parameters
    ----------
    bias
        One of `biases.frames`, or any of `entropy.bias`.
    k
        Strength in eV; positive seeks entropy.
    mode
        As of `BiasTerm`.
    name
        Name among the biases of a run.
    """

    def __init__(
        self, bias: Bias, k: float, mode: Mode | None = None, name: str = "entropy_flows"
    ) -> None:
        super().__init__(name)
        self.term = BiasTerm(bias, k, mode)

    def forward(self, data: Any, **_: Any) -> OrderedDict[str, Tensor]:
        """Compute the term of all graphs; its derivatives are not those of autograd."""
        output = self.term(data.positions, data.atomic_numbers, data.cell, data.pbc, data.batch_idx)
        contribution = {
            "energy": output.energy[:, None],
            "forces": output.forces,
            "stress": output.stress,
        }
        active = self.model_config.active_outputs
        results = OrderedDict((name, contribution[name]) for name in contribution if name in active)
        results[f"diagnostics/{self.term.name}"] = output.measure
        return OrderedDict((name, value.to(data.positions)) for name, value in results.items())
