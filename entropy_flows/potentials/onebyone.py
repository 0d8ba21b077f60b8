"""An ASE calculator as a model of many cells, and a model of many cells as an ASE calculator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from entropy_flows.conventions import Array

if TYPE_CHECKING:
    from entropy_flows.batch import Batch
    from entropy_flows.potentials.base import BatchModel, Evaluation


class OneByOne:
    """An ASE calculator as a model of many cells: called cell after cell.

    Parameters
    ----------
    calculator
        Any calculator. Stress is passed on where it comes with the forces; it is not asked for,
        since that may cost another calculation.
    device
        Device on which batches for it are made. Batches on any device are taken, by way of the CPU.
    """

    def __init__(self, calculator: Calculator, device: str = "cpu") -> None:
        self.calculator = calculator
        self.device = device

    def __call__(self, batch: Batch) -> Evaluation:
        """Evaluate all cells; results are the calculator's own to the last digit."""
        import torch

        from entropy_flows.potentials.base import Evaluation

        results = [self._evaluate(atoms) for atoms in batch.structures()]
        energies, forces, stresses = zip(*results, strict=True)
        device = batch.positions.device
        stress = np.array(stresses, dtype=np.float64)
        return Evaluation(
            torch.tensor(energies, dtype=torch.float64, device=device),
            torch.from_numpy(np.concatenate(forces).astype(np.float64)).to(device),
            None if np.isnan(stress).all() else torch.from_numpy(stress).to(device),
        )

    def _evaluate(self, atoms: Atoms) -> tuple[float, Array, Array]:
        """Evaluate one cell; its stress is nan if the calculator gives none."""
        atoms.calc = self.calculator
        energy = float(atoms.get_potential_energy())
        forces = atoms.get_forces()
        # Only a stress that came with the forces: asking for one may cost another calculation.
        has_stress = "stress" in self.calculator.results
        stress = atoms.get_stress(voigt=False) if has_stress else np.full((3, 3), np.nan)
        return energy, forces, stress


class BatchOfOne(Calculator):
    """A batched model as an ASE calculator: a batch of one cell."""

    def __init__(self, model: BatchModel) -> None:
        super().__init__()
        self.implemented_properties = ["energy", "free_energy", "forces", "stress"]
        self.model = model

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Any = ("energy",),
        system_changes: Any = tuple(all_changes),
    ) -> None:
        """Evaluate one cell."""
        from entropy_flows.batch import Batch

        super().calculate(atoms, properties, system_changes)
        assert self.atoms is not None
        result = self.model(Batch.of([self.atoms], self.model.device))
        energy = float(result.energy[0])
        self.results = {
            "energy": energy,
            "free_energy": energy,
            "forces": result.forces.cpu().numpy(),
        }
        if result.stress is not None:
            self.results["stress"] = full_3x3_to_voigt_6_stress(result.stress[0].cpu().numpy())
