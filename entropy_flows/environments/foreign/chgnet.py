"""Adapter of CHGNet's models, whose weights are in its wheel: one batch of many crystals.

CHGNet counts energies in eV/atom and stresses in GPa, and takes every cell for a crystal.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from ase.units import GPa
from chgnet.model import CHGNet, CHGNetCalculator
from pymatgen.core import Structure

SUFFIX = ".pth.tar"
MAX_NUMBER = 94
"""Atomic number of the last element that CHGNet knows."""


def load_calculator(name: str, arguments: dict[str, Any], device: str) -> CHGNetCalculator:
    """Load CHGNet's own calculator, of a model in the wheel or of a file of its training."""
    return CHGNetCalculator(_model(name, device), use_device=device, **arguments)


def load_batch_model(name: str, arguments: dict[str, Any], device: str) -> BatchModel:
    """Load a model that evaluates many crystals as one batch."""
    return BatchModel(load_calculator(name, arguments, device).model, device)


def _model(name: str, device: str) -> CHGNet:
    if not name.endswith(SUFFIX):
        return CHGNet.load(model_name=name, use_device=device, verbose=False)
    # CHGNet would unpickle whatever is in the file
    state = torch.load(name, map_location="cpu", weights_only=True)
    return CHGNet.from_dict(state["model"]).to(device)


class BatchModel:
    """A CHGNet model on the arrays of a job."""

    cutoff = None
    elements = tuple(range(1, MAX_NUMBER + 1))

    def __init__(self, model: CHGNet, device: str) -> None:
        self.model = model
        self.device = device
        # as in CHGNet's calculator: an atom without a neighbour is no error
        self.model.graph_converter.set_isolated_atom_response("ignore")

    def __call__(self, cells: Any, positions: np.ndarray, pairs: Any) -> dict[str, np.ndarray]:
        """Evaluate all cells."""
        if not cells.pbc.all():
            raise ValueError("CHGNet takes cells that repeat in three directions, this does not")
        if cells.numbers.max() > MAX_NUMBER:
            raise ValueError(f"CHGNet knows no element of atomic number {cells.numbers.max()}")
        graphs = []
        for index, lattice in enumerate(cells.lattice):
            span = slice(cells.first[index], cells.first[index + 1])
            numbers = cells.numbers[span].tolist()
            crystal = Structure(lattice, numbers, positions[span], coords_are_cartesian=True)
            graphs.append(self.model.graph_converter(crystal).to(self.device))
        results = self.model.predict_graph(graphs, task="efs", batch_size=len(graphs))
        results = [results] if isinstance(results, dict) else results
        energies = np.array([float(result["e"]) for result in results])
        factors = cells.sizes if self.model.is_intensive else np.ones(len(results))
        return {
            "energy": energies * factors,
            "forces": np.concatenate([result["f"] for result in results]),
            "stress": np.stack([result["s"] for result in results]) * GPa,
        }
