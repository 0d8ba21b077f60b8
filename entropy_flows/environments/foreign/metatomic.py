"""Adapter of metatomic's models, such as PET by metatrain: many cells in one call.

A model is exported as TorchScript, with what it was exported with.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from ase import Atoms
from metatomic_ase import MetatomicCalculator


def load_calculator(name: str, arguments: dict[str, Any], device: str) -> MetatomicCalculator:
    """Load metatomic's own calculator."""
    return MetatomicCalculator(name, device=device, **arguments)


def load_batch_model(name: str, arguments: dict[str, Any], device: str) -> BatchModel:
    """Load a model that evaluates many cells in one call."""
    return BatchModel(load_calculator(name, arguments, device))


class BatchModel:
    """A metatomic model on the arrays of a job."""

    cutoff = None

    def __init__(self, calculator: MetatomicCalculator) -> None:
        self.calculator = calculator
        capabilities = calculator._model.capabilities()
        self.elements = tuple(int(number) for number in capabilities.atomic_types)

    def __call__(self, cells: Any, positions: np.ndarray, pairs: Any) -> dict[str, Any]:
        """Evaluate all cells; their stresses if all repeat in three directions."""
        unknown = sorted(set(cells.numbers.tolist()) - set(self.elements))
        if unknown:
            raise ValueError(f"the model does not know the elements of atomic numbers {unknown}")
        structures = []
        for index, lattice in enumerate(cells.lattice):
            span = slice(cells.first[index], cells.first[index + 1])
            pbc = cells.pbc[index]
            structures.append(Atoms(cells.numbers[span], positions[span], cell=lattice, pbc=pbc))
        result = self.calculator.compute_energy(structures, compute_forces_and_stresses=True)
        stress = None
        if "stress" in result:
            # a model that is not invariant to rotations, as PET, gives one that is not symmetric
            stress = np.stack(result["stress"])
            stress = (stress + stress.transpose(0, 2, 1)) / 2
        return {
            "energy": np.array(result["energy"], dtype=float).reshape(-1),
            "forces": np.concatenate(result["forces"]),
            "stress": stress,
        }
