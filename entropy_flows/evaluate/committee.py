"""A committee of models: its predictions, and how well their spread predicts the error.

    u_E = s(E_k) / n            u_F = [ (1/3n) Σ_iα s(F_k,iα)² ]^½                              (1)
    e_E = |⟨E⟩ − E| / n         e_F = [ (1/3n) Σ_iα (⟨F_iα⟩ − F_iα)² ]^½                        (2)

Calibration compares the two over cells that no member was trained on. Spearman's ρ says whether a
larger spread means a larger error. The ratio rms(e) / rms(u) is 1 where the spread is as large as
the error.

=======  ========================================================================================
symbol   meaning
=======  ========================================================================================
E_k      energy of the cell by member k of M (eV); E the label
F_k      forces (n, 3) by member k (eV/Å); F the label
⟨·⟩, s   mean and standard deviation over the members, with M − 1
=======  ========================================================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from ase import Atoms
from scipy.stats import spearmanr

from entropy_flows.batch import Batch
from entropy_flows.conventions import Array
from entropy_flows.potentials import load_batch_model

BATCH_CELLS = 32
"""Number of cells that are evaluated in one call."""


@dataclass(frozen=True)
class Calibration:
    """Spread against error over n cells."""

    n: int
    """Number of cells."""
    spearman: float | None
    """ρ; None where one of the two is the same for all cells, or there are fewer than three."""
    ratio: float | None
    """rms(e) / rms(u); None if all members agree everywhere."""
    spread: list[float]
    """u of each cell."""
    error: list[float]
    """e of each cell."""

    @classmethod
    def of(cls, spread: Array, error: Array) -> Calibration:
        """Compare spread and error (n,)."""
        # Ranks of equal values, or of two points, say nothing of an order.
        has_order = len(spread) > 2 and np.ptp(spread) > 0 and np.ptp(error) > 0
        rho = float(spearmanr(spread, error).statistic) if has_order else None
        rms_spread = float(np.sqrt(np.mean(np.square(spread)))) if len(spread) else 0.0
        ratio = None
        if rms_spread > 0:
            ratio = float(np.sqrt(np.mean(np.square(error)))) / rms_spread
        return cls(len(spread), rho, ratio, spread.tolist(), error.tolist())

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return asdict(self)


class Committee:
    """Models that were trained alike but for their seeds.

    Parameters
    ----------
    models
        Names or paths, as `load_batch_model` takes them.
    device
        Torch device.

    Raises
    ------
    ValueError
        If they are fewer than two.
    """

    def __init__(self, models: Sequence[str | Path], device: str = "cpu") -> None:
        if len(models) < 2:
            raise ValueError(
                f"a committee of {len(models)} models has no spread; expected two or more"
            )
        self.members = [load_batch_model(model, device) for model in models]
        self.device = device

    def __len__(self) -> int:
        return len(self.members)

    def predict(self, cells: Sequence[Atoms]) -> tuple[Array, list[Array]]:
        """Predict energies and forces by each member.

        Returns
        -------
        tuple
            Energies per atom (M, n_cells) in eV, and the forces (M, n_atoms, 3) of each cell in
            eV/Å.
        """
        energies = np.empty((len(self), len(cells)))
        forces = [np.empty((len(self), len(atoms), 3)) for atoms in cells]
        for start in range(0, len(cells), BATCH_CELLS):
            batch = Batch.of(list(cells[start : start + BATCH_CELLS]), device=self.device)
            for k, member in enumerate(self.members):
                evaluation = member(batch)
                batch_forces = evaluation.forces.cpu().numpy()
                cell_forces = np.split(batch_forces, batch.cells.first[1:-1])
                for offset, energy in enumerate(evaluation.energy.tolist()):
                    cell = start + offset
                    energies[k, cell] = energy / len(cells[cell])
                    forces[cell][k] = cell_forces[offset]
        return energies, forces

    def spread(self, cells: Sequence[Atoms], quantity: Literal["energy", "forces"]) -> Array:
        """Return u_E (eV/atom) or u_F (eV/Å) of each cell (n,), equation (1)."""
        energies, forces = self.predict(cells)
        if quantity == "energy":
            return energies.std(axis=0, ddof=1)
        return _force_spread(forces)

    def calibration(self, cells: Sequence[Atoms]) -> dict[str, Calibration]:
        """Compare spread and error of energy and forces.

        Parameters
        ----------
        cells
            Labelled cells that no member was trained on.
        """
        energies, forces = self.predict(cells)
        labels = np.array([atoms.get_potential_energy() / len(atoms) for atoms in cells])
        energy_error = np.abs(energies.mean(axis=0) - labels)
        force_error = np.array(
            [
                np.sqrt(np.mean((predicted.mean(axis=0) - atoms.get_forces()) ** 2))
                for predicted, atoms in zip(forces, cells, strict=True)
            ]
        )
        return {
            "energy": Calibration.of(energies.std(axis=0, ddof=1), energy_error),
            "forces": Calibration.of(_force_spread(forces), force_error),
        }


def _force_spread(forces: Sequence[Array]) -> Array:
    """Return u_F of each cell."""
    return np.array([np.sqrt(predicted.var(axis=0, ddof=1).mean()) for predicted in forces])
