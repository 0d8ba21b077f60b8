"""Features of SevenNet: the scalars from which its linear readout makes an atom's energy.

SevenNet-0 has 128 of them, the outputs of the last gate. Its readout is two linear maps one after
the other, which are one: the 64 numbers between them are combinations of the 128, and in SevenNet-0
nearly all of these are dependent. So the features are the 128.
"""

from __future__ import annotations

from typing import Any

import sevenn._keys as key
import torch
from torch import Tensor

from entropy_flows.batch import Batch, Cells
from entropy_flows.neighbors import Pairs, neighbors
from entropy_flows.potentials.scope import default_dtype
from entropy_flows.potentials.sevennet_model import SevenNetModel

READOUT = "reduce_input_to_hidden"
"""Name of the first linear map of the readout."""


class SevenNetFeatures:
    """Features of a SevenNet model, in double precision.

    Parameters
    ----------
    calculator
        SevenNet's ASE calculator. Its model is taken over: the calculator is of no use afterwards.
    device
        Torch device of the calculator.

    Raises
    ------
    ValueError
        If the readout is not linear.
    """

    def __init__(self, calculator: Any, device: str = "cpu") -> None:
        self._model = SevenNetModel(calculator, device)
        self.device = device
        layers = dict(self._model.model.named_children())
        if READOUT not in layers:
            raise ValueError(
                f"this SevenNet has no linear readout: its layers are {', '.join(layers)}"
            )
        self.dim = int(layers[READOUT].irreps_in.dim)
        names = list(layers)
        self._layers = [layers[name] for name in names[: names.index(READOUT)]]
        self._model.model.to(torch.float64)

    def pairs(self, batch: Batch) -> Pairs:
        """Find the pairs of atoms within the cutoff."""
        return neighbors(batch, self._model.cutoff)

    def __call__(self, cells: Cells, pairs: Pairs) -> Tensor:
        """Compute the features (n, dim) of all atoms."""
        with default_dtype("float64"):
            graph = self._model.graph(cells, pairs, torch.float64)
            data = self._model.model._preprocess(graph)
            for layer in self._layers:
                data = layer(data)
                # The species' encoding is in single precision, whatever the model is in.
                data = {name: _as_double(value) for name, value in data.items()}
        features: Tensor = data[key.NODE_FEATURE]
        return features[:, : self.dim]


def _as_double(value: Any) -> Any:
    is_float = isinstance(value, Tensor) and value.is_floating_point()
    return value.to(torch.float64) if is_float else value
