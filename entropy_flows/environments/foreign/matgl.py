"""Adapter of MatGL's potentials, such as TensorNet: one graph of many cells.

A model is a folder of three files. Here it is an archive of them, `*.matgl.zip`, so that it is one
file with one checksum. MatGL counts stresses in GPa.
"""

from __future__ import annotations

import json
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import matgl
import numpy as np
import torch
from ase import Atoms
from ase.data import atomic_numbers
from ase.units import GPa
from matgl.ext.ase import Atoms2Graph, PESCalculator
from torch_geometric.data import Batch

SUFFIX = ".matgl.zip"
FILES = ("model.pt", "state.pt", "model.json")


def load_calculator(name: str, arguments: dict[str, Any], device: str) -> PESCalculator:
    """Load MatGL's own calculator, of an archive or of a model that MatGL fetches."""
    return PESCalculator(_model(name, device), stress_unit="eV/A3", **arguments)


def load_batch_model(name: str, arguments: dict[str, Any], device: str) -> BatchModel:
    """Load a model that evaluates many cells as one graph."""
    return BatchModel(load_calculator(name, arguments, device), device)


def _model(name: str, device: str) -> Any:
    if not name.endswith(SUFFIX):
        return matgl.load_model(name).to(device)
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(name) as archive:
        for file in FILES:
            (Path(folder) / file).write_bytes(archive.read(file))
        _check_classes(json.loads((Path(folder) / "model.json").read_text()))
        return matgl.load_model(folder).to(device)


def _check_classes(content: Any) -> None:
    """Refuse a model that names a class of anything but MatGL."""
    if isinstance(content, dict):
        module = str(content.get("@module", "matgl"))
        if module.partition(".")[0] != "matgl":
            raise ValueError(f"the model names {module}, which is not imported")
        for value in content.values():
            _check_classes(value)
    elif isinstance(content, list):
        for value in content:
            _check_classes(value)


class BatchModel:
    """A potential of MatGL's on the arrays of a job."""

    cutoff = None

    def __init__(self, calculator: PESCalculator, device: str) -> None:
        self.potential = calculator.potential
        self.device = device
        self.symbols = tuple(calculator.element_types)
        self.elements = tuple(atomic_numbers[symbol] for symbol in self.symbols)
        self.convert = Atoms2Graph(self.symbols, float(calculator.cutoff))

    def __call__(self, cells: Any, positions: np.ndarray, pairs: Any) -> dict[str, np.ndarray]:
        """Evaluate all cells."""
        unknown = sorted(set(cells.numbers.tolist()) - set(self.elements))
        if unknown:
            raise ValueError(f"the model does not know the elements of atomic numbers {unknown}")
        if not cells.pbc.all():
            raise ValueError("expected cells that repeat in three directions")
        graphs = []
        lattices = []
        for index, lattice in enumerate(cells.lattice):
            span = slice(cells.first[index], cells.first[index + 1])
            atoms = Atoms(cells.numbers[span], positions[span], cell=lattice, pbc=True)
            graph, vectors, _ = self.convert.get_graph(atoms)
            graphs.append(graph)
            lattices.append(vectors.reshape(3, 3))
        batch = Batch.from_data_list(graphs).to(self.device)
        state = torch.zeros(len(graphs), 2, device=self.device)
        result = self.potential(batch, torch.stack(lattices).to(self.device), state)
        energy, forces, stress = (each.detach().double().cpu().numpy() for each in result[:3])
        return {
            "energy": energy.reshape(-1),
            "forces": forces,
            "stress": stress.reshape(-1, 3, 3) * GPa,
        }
