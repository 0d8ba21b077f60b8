"""NequIP and Allegro models on many cells at once, eager or compiled.

    edge (i, j, s):  d = r_j + s L − r_i,   |d| < r_c(t_i, t_j)

t the atoms' types, L the cell's lattice vectors as rows, r_c the model's cutoff, which may depend
on the types. The model gets r, s and L rather than d, for it takes the stress from a strain of
both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from weakref import WeakKeyDictionary

import torch
from ase.data import atomic_numbers
from nequip.data import AtomicDataDict as Key
from nequip.nn import graph_model
from nequip.nn.embedding.utils import cutoff_fulldict_to_tensor, cutoff_str_to_fulldict
from torch import Tensor

from entropy_flows.batch import Batch, Cells
from entropy_flows.neighbors import Pairs, neighbors
from entropy_flows.potentials.base import Evaluation
from entropy_flows.potentials.elements import atom_types
from entropy_flows.potentials.scope import default_dtype


@dataclass(frozen=True)
class _Static:
    """Inputs that stay while atoms move, and the dimer that is appended to those that do not."""

    inputs: dict[str, Tensor]
    dimer: dict[str, Tensor]


class NequIPModel:
    """A NequIP or Allegro model that evaluates many cells in one call.

    Parameters
    ----------
    model
        Takes and gives NequIP's dictionaries of tensors; on the device, in evaluation mode.
    metadata
        NequIP's description of it: cutoff, type names, cutoffs by types.
    device
        Torch device.
    compiled
        Whether it was compiled, which NequIP does for two cells, atoms and edges or more. It then
        always gets a dimer more, so that one cell, or cells without neighbours, are within that.

    Raises
    ------
    ValueError
        If the model's types are not elements.
    """

    def __init__(
        self, model: Any, metadata: Mapping[str, Any], device: str, *, compiled: bool = False
    ) -> None:
        self.model = model
        self.device = device
        self.compiled = compiled
        self.cutoff = float(metadata[graph_model.R_MAX_KEY])
        names = metadata[graph_model.TYPE_NAMES_KEY]
        names = names.split() if isinstance(names, str) else list(names)
        if not set(names) <= set(atomic_numbers):
            raise ValueError(f"the model's types are {', '.join(names)}; they must be elements")
        self.elements = tuple(atomic_numbers[name] for name in names)
        self.cutoffs = _cutoffs(metadata.get(graph_model.PER_EDGE_TYPE_CUTOFF_KEY), names, device)
        self._static: WeakKeyDictionary[Cells, _Static] = WeakKeyDictionary()

    @classmethod
    def from_calculator(cls, calculator: Any, device: str = "cpu") -> Self:
        """Take over the model of NequIP's ASE calculator, loaded from a package."""
        model = calculator.model.requires_grad_(False)
        return cls(model, model.metadata, device)

    @classmethod
    def from_compiled(cls, path: Path, device: str = "cpu") -> Self:
        """Load a `.nequip.pt2` made with `nequip-compile --target batch`."""
        with default_dtype("float64"):
            from nequip.model.inference_models import load_compiled_model
            from nequip.scripts._compile_utils import BATCH_INPUTS, BATCH_TARGET

            model, metadata = load_compiled_model(
                str(path), device, BATCH_INPUTS, BATCH_TARGET["output"]
            )
        return cls(model, metadata, device, compiled=True)

    def __call__(self, batch: Batch) -> Evaluation:
        """Evaluate all cells."""
        with torch.enable_grad(), default_dtype("float64"):
            result = self.model(self._inputs(batch.at(batch.positions.detach())))
        stress = result.get(Key.STRESS_KEY)
        return Evaluation(
            _copy(result[Key.TOTAL_ENERGY_KEY].view(-1)[: len(batch)]),
            _copy(result[Key.FORCE_KEY][: len(batch.positions)]),
            None if stress is None else _copy(stress.view(-1, 3, 3)[: len(batch)]),
        )

    def _inputs(self, batch: Batch) -> dict[str, Tensor]:
        static = self._static.get(batch.cells)
        if static is None:
            static = self._static[batch.cells] = self._static_inputs(batch.cells)
        pairs = self.pairs(batch, static.inputs[Key.ATOM_TYPE_KEY])
        moving = {
            Key.POSITIONS_KEY: batch.positions,
            Key.EDGE_INDEX_KEY: torch.stack([pairs.centers, pairs.members]),
            Key.EDGE_CELL_SHIFT_KEY: pairs.shifts,
        }
        return {**static.inputs, **_joined(moving, static.dimer)}

    def pairs(self, batch: Batch, types: Tensor) -> Pairs:
        """Find the pairs within the cutoff of their types (n,)."""
        pairs = neighbors(batch, self.cutoff)
        if self.cutoffs is None:
            return pairs
        cutoffs = self.cutoffs[types[pairs.centers], types[pairs.members]]
        inside = pairs.vectors.square().sum(dim=1) < cutoffs.square()
        return Pairs(
            pairs.centers[inside],
            pairs.members[inside],
            pairs.vectors[inside],
            pairs.shifts[inside],
        )

    def _static_inputs(self, cells: Cells) -> _Static:
        inputs = {
            Key.ATOM_TYPE_KEY: atom_types(cells, self.elements, self.device),
            Key.CELL_KEY: cells.vectors,
            Key.BATCH_KEY: cells.owner,
            Key.NUM_NODES_KEY: torch.tensor(cells.sizes, device=cells.device),
        }
        if self.compiled:
            dimer = _dimer(len(cells), len(cells.numbers), self.cutoff / 2, cells.device)
            return _Static(_joined(inputs, dimer), dimer)
        if len(cells) == 1:
            # Without the batch's inputs NequIP takes a shorter way through the model.
            inputs = {key: inputs[key] for key in (Key.ATOM_TYPE_KEY, Key.CELL_KEY)}
        return _Static(inputs, {})


def _dimer(cell: int, atom: int, bond: float, device: torch.device) -> dict[str, Tensor]:
    """Build all inputs of cell number `cell`: two atoms, numbered from `atom`, and their edges."""
    return {
        Key.ATOM_TYPE_KEY: torch.tensor([0, 0], device=device),
        Key.CELL_KEY: torch.eye(3, dtype=torch.float64, device=device)[None],
        Key.BATCH_KEY: torch.tensor([cell, cell], device=device),
        Key.NUM_NODES_KEY: torch.tensor([2], device=device),
        Key.POSITIONS_KEY: torch.tensor(
            [[0.0, 0.0, 0.0], [bond, 0.0, 0.0]], dtype=torch.float64, device=device
        ),
        Key.EDGE_INDEX_KEY: torch.tensor([[atom, atom + 1], [atom + 1, atom]], device=device),
        Key.EDGE_CELL_SHIFT_KEY: torch.zeros(2, 3, dtype=torch.float64, device=device),
    }


def _joined(inputs: dict[str, Tensor], more: dict[str, Tensor]) -> dict[str, Tensor]:
    """Join the inputs of a batch and of further cells.

    Edges are (2, R); the first axis of all other inputs counts atoms or cells.
    """
    if not more:
        return inputs
    axes = {key: int(key == Key.EDGE_INDEX_KEY) for key in inputs}
    return {key: torch.cat([value, more[key]], dim=axes[key]) for key, value in inputs.items()}


def _cutoffs(described: Any, names: list[str], device: str) -> Tensor | None:
    """Build the cutoffs by types (T, T) in Å, from either form in which NequIP has them."""
    if not described:
        return None
    table = cutoff_str_to_fulldict(described, names) if isinstance(described, str) else described
    return cutoff_fulldict_to_tensor(table, names).to(device, torch.float64)


def _copy(result: Tensor) -> Tensor:
    """Copy a result as float64: a compiled model's outputs may not be changed in place."""
    return result.detach().to(torch.float64, copy=True)
