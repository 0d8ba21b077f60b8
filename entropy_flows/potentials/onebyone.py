"""An ASE calculator as a model of many cells, and a model of many cells as an ASE calculator."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from entropy_flows.conventions import Array
from entropy_flows.faults import by_halves

if TYPE_CHECKING:
    from entropy_flows.batch import Batch
    from entropy_flows.potentials.base import BatchModel, Evaluation


AHEAD = 32
"""Cells of one call of `BatchOfOne.ahead` on a GPU."""
AHEAD_ON_CPU = 8
"""The same on a CPU, where larger batches of a small model gain nothing more."""
ATOMS_ON_CPU = 256
"""Atoms of such a call at most, unless one cell has more: large models need their memory."""


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
    """A batched model as an ASE calculator: a batch of one cell, or what `ahead` was given."""

    def __init__(self, model: BatchModel) -> None:
        super().__init__()
        self.implemented_properties = ["energy", "free_energy", "forces", "stress"]
        self.model = model
        self._ahead: dict[bytes, dict[str, Any]] = {}

    def ahead(self, cells: Sequence[Atoms]) -> None:
        """Evaluate many cells in few calls; calculations of these cells look their results up.

        A cell that the model refuses is left for its own calculation, which says why. The last
        digits of a cell's results depend on those that share its call.
        """
        self._ahead = {}
        for chunk in self._chunks(cells):
            for atoms, result in zip(chunk, by_halves(chunk, self._results), strict=True):
                if not isinstance(result, Exception):
                    self._ahead[_key(atoms)] = result

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Any = ("energy",),
        system_changes: Any = tuple(all_changes),
    ) -> None:
        """Evaluate one cell."""
        super().calculate(atoms, properties, system_changes)
        assert self.atoms is not None
        results = self._ahead.get(_key(self.atoms)) if self._ahead else None
        self.results = dict(results or self._results([self.atoms])[0])

    def _chunks(self, cells: Sequence[Atoms]) -> Iterator[list[Atoms]]:
        """Cut cells into those of one call."""
        on_cpu = self.model.device == "cpu"
        chunk: list[Atoms] = []
        for atoms in cells:
            is_large = on_cpu and sum(map(len, chunk)) + len(atoms) > ATOMS_ON_CPU
            if chunk and (is_large or len(chunk) == (AHEAD_ON_CPU if on_cpu else AHEAD)):
                yield chunk
                chunk = []
            chunk.append(atoms)
        if chunk:
            yield chunk

    def _results(self, cells: Sequence[Atoms]) -> list[dict[str, Any]]:
        """Return ASE's results of each cell."""
        from entropy_flows.batch import Batch

        batch = Batch.of(cells, self.model.device)
        result = self.model(batch)
        energies = result.energy.tolist()
        forces = np.split(result.forces.cpu().numpy(), batch.cells.first[1:-1])
        rows = [
            {"energy": energy, "free_energy": energy, "forces": force}
            for energy, force in zip(energies, forces, strict=True)
        ]
        if result.stress is None:
            self.implemented_properties = ["energy", "free_energy", "forces"]
            return rows
        stresses = full_3x3_to_voigt_6_stress(result.stress.cpu().numpy())
        return [{**row, "stress": stress} for row, stress in zip(rows, stresses, strict=True)]


def evaluate_ahead(calculator: Calculator, cells: Sequence[Atoms]) -> None:
    """Evaluate many cells in few calls, with a calculator that can."""
    if isinstance(calculator, BatchOfOne):
        calculator.ahead(cells)


def _key(atoms: Atoms) -> bytes:
    """Return what tells cells apart."""
    arrays = (atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc)
    return b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)
