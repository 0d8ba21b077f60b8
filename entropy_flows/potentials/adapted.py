"""Families that are loaded here by the adapter that loads them in an environment of their own."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from entropy_flows.environments.foreign import serve
from entropy_flows.potentials.base import BatchModel, ModelFamily
from entropy_flows.potentials.scope import default_dtype, scoped

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

    from entropy_flows.batch import Batch, Cells
    from entropy_flows.potentials.base import Evaluation


class AdaptedFamily(ModelFamily):
    """A family of which all that loads and evaluates stands in its adapter.

    A model gives the same numbers here and in an environment, since the same lines compute them.

    Attributes
    ----------
    dtype
        Default dtype of torch under which its models are loaded and evaluated.
    """

    dtype: str = "float32"

    def load_calculator(self, name: str, arguments: Mapping[str, Any], device: str) -> Calculator:
        """Load a model's calculator by the adapter."""
        self.environment.require(f"model '{name}'")
        load = self._adapter().load_calculator
        with default_dtype(self.dtype):
            calculator = load(self._name(name), dict(arguments), device)
        # each calculation runs under the family's own default dtype, and puts the caller's back
        kind: Any = type(calculator)
        calculator.__class__ = scoped(kind, self.dtype)
        return calculator

    def load_batch_model(self, name: str, arguments: Mapping[str, Any], device: str) -> BatchModel:
        """Load a model of many cells, if the adapter has one, or the calculator."""
        if not hasattr(self._adapter(), "load_batch_model"):
            return super().load_batch_model(name, arguments, device)
        self.environment.require(f"model '{name}'")
        load = self._adapter().load_batch_model
        with default_dtype(self.dtype):
            model = load(self._name(name), dict(arguments), device)
        return AdaptedModel(model, self.dtype, device)

    def _adapter(self) -> ModuleType:
        assert self.adapter is not None, f"family {self.name} has an adapter"
        return _imported(self.adapter)

    def _name(self, name: str) -> str:
        from entropy_flows.potentials.names import existing_file

        return str(existing_file(name)) if self.is_file(name) else self.program_name(name)


class AdaptedModel:
    """A model of an adapter as a model of many cells.

    Parameters
    ----------
    model
        What the adapter's `load_batch_model` gives.
    dtype
        Default dtype of torch under which it is evaluated.
    device
        Torch device of the batches made for it. Arrays go to the adapter by way of the CPU.
    """

    def __init__(self, model: Any, dtype: str, device: str) -> None:
        self.model = model
        self.dtype = dtype
        self.device = device
        self._cells: WeakKeyDictionary[Cells, serve.Cells] = WeakKeyDictionary()

    def __call__(self, batch: Batch) -> Evaluation:
        """Evaluate all cells."""
        arrays = batch_arrays(batch, self.model.cutoff)
        cells = self._cells.get(batch.cells)
        if cells is None:
            cells = self._cells[batch.cells] = serve.Cells(arrays)
        pairs = serve.Pairs(arrays) if "centers" in arrays else None
        with default_dtype(self.dtype):
            result = self.model(cells, arrays["positions"], pairs)
        return evaluation(result, batch)


def batch_arrays(batch: Batch, cutoff: float | None) -> dict[str, np.ndarray]:
    """Return a batch as the arrays that an adapter takes.

    Parameters
    ----------
    batch
        Cells and positions.
    cutoff
        Distance (Å) within which an adapter takes pairs of atoms; None if it takes none.
    """
    cells = batch.cells
    arrays = {
        "sizes": np.asarray(cells.sizes),
        "numbers": cells.numbers,
        "lattice": cells.lattice,
        "pbc": cells.pbc,
        "positions": batch.positions.detach().cpu().numpy(),
    }
    if cutoff is None:
        return arrays
    from entropy_flows.neighbors import neighbors

    pairs = neighbors(batch.at(batch.positions.detach()), cutoff)
    return arrays | {
        "centers": pairs.centers.cpu().numpy(),
        "members": pairs.members.cpu().numpy(),
        "vectors": pairs.vectors.cpu().numpy(),
        "shifts": pairs.shifts.cpu().numpy().astype(np.int32),
    }


def evaluation(result: Mapping[str, Any], batch: Batch) -> Evaluation:
    """Return the arrays that an adapter gives as tensors on a batch's device."""
    import torch

    from entropy_flows.potentials.base import Evaluation

    def tensor(array: Any) -> torch.Tensor:
        # a copy: what came from another process is read-only
        return torch.tensor(array, dtype=torch.float64, device=batch.positions.device)

    stress = result.get("stress")
    return Evaluation(
        tensor(result["energy"]),
        tensor(result["forces"]),
        None if stress is None else tensor(stress),
    )


@cache
def _imported(adapter: Path) -> ModuleType:
    return serve.load_file(adapter, f"entropy_flows_adapter_{adapter.stem}")
