"""Features of Allegro and NequIP: the last hidden layer of the readout.

Allegro's readout makes an energy of each pair and adds up those of an atom. What its last map is
linear in is added up in the same way, with the same norm. NequIP's readout is of atoms already; if
it is one linear map, the features are the network's own.
"""

from __future__ import annotations

from typing import Any, Self

import torch
from nequip.data import AtomicDataDict as Key
from torch import Tensor

from entropy_flows.batch import Batch, Cells
from entropy_flows.neighbors import Pairs
from entropy_flows.potentials.elements import atom_types
from entropy_flows.potentials.nequip_model import NequIPModel
from entropy_flows.potentials.scope import default_dtype

READOUTS = {"edge_readout": "edge_eng_sum", "per_atom_energy_readout": None}
"""Name of a model's readout → name of what adds up the pairs' energies, if it is of pairs."""


class NequIPFeatures:
    """Features of an Allegro or NequIP model, in double precision.

    Parameters
    ----------
    model
        The model, whose network is taken over.

    Raises
    ------
    ValueError
        If the model has none of the known readouts.
    """

    def __init__(self, model: NequIPModel) -> None:
        self._model = model
        self.device = model.device
        layers = dict(model.model.model.func.named_children())
        names = [name for name in READOUTS if name in layers]
        if not names:
            raise ValueError(
                f"this model of NequIP's has no known readout: its layers are {', '.join(layers)}"
            )
        position = list(layers).index(names[0])
        self._layers = list(layers.values())[:position]
        self._readout = layers[names[0]]
        self._sum = layers.get(str(READOUTS[names[0]]))
        # A deep readout without activations is one linear map, of what it is given.
        hidden = self._readout.mlp_module.mlp
        is_deep = isinstance(hidden, torch.nn.Sequential) and len(hidden) > 1
        self._hidden = hidden[:-1] if is_deep else torch.nn.Identity()
        self.dim = int(self._readout.mlp_module.dims[-2 if is_deep else 0])
        _make_double(model.model)

    @classmethod
    def from_calculator(cls, calculator: Any, device: str = "cpu") -> Self:
        """Take over the model of NequIP's ASE calculator, loaded from a package."""
        return cls(NequIPModel.from_calculator(calculator, device))

    def pairs(self, batch: Batch) -> Pairs:
        """Find the pairs of atoms within the cutoff of their elements."""
        return self._model.pairs(batch, self._types(batch.cells))

    def __call__(self, cells: Cells, pairs: Pairs) -> Tensor:
        """Compute the features (n, dim) of all atoms."""
        data = {
            Key.ATOM_TYPE_KEY: self._types(cells),
            Key.EDGE_INDEX_KEY: torch.stack([pairs.centers, pairs.members]),
            Key.EDGE_VECTORS_KEY: pairs.vectors,
        }
        with default_dtype("float64"):
            for layer in self._layers:
                data = layer(data)
            features: Tensor = self._hidden(data[self._readout.field])
            if self._sum is not None:
                data[self._sum.field] = features
                features = self._sum(data)[self._sum.out_field]
        return features

    def _types(self, cells: Cells) -> Tensor:
        return atom_types(cells, self._model.elements, self.device)


def _make_double(model: torch.nn.Module) -> None:
    """Turn a model to double precision, with the embeddings that cast to its precision."""
    model.to(torch.float64)
    for module in model.modules():
        if hasattr(module, "_output_dtype"):
            vars(module)["_output_dtype"] = torch.float64
