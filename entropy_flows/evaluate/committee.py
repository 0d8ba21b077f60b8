"""A committee of models: what it predicts, how far its members disagree, and what that says of their error.

    u_E = s(E_k) / n            u_F = [ (1/3n) Σ_iα s(F_k,iα)² ]^½                                                  (1)
    e_E = |⟨E⟩ − E| / n         e_F = [ (1/3n) Σ_iα (⟨F_iα⟩ − F_iα)² ]^½                                            (2)

Calibration compares the two over cells that no member was trained on: Spearman's ρ, whether a
larger spread means a larger error, and the ratio rms(e) / rms(u), which is 1 where the spread is as
large as the error.

=======  ==========================================================================================================
symbol   meaning
=======  ==========================================================================================================
E_k      energy of the cell by member k of M (eV); E the label
F_k      forces (n, 3) by member k (eV/Å); F the label
⟨·⟩, s   mean and standard deviation over the members, with M − 1
=======  ==========================================================================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from scipy.stats import spearmanr

from entropy_flows.batch import Batch
from entropy_flows.conventions import Array
from entropy_flows.potentials import load_batch_model

TOGETHER = 32
"""Cells evaluated in one call."""


@dataclass(frozen=True)
class Calibration:
    """Spread against error over n cells."""

    n: int
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
        """Compare them."""
        varied = len(spread) > 2 and np.ptp(spread) > 0 and np.ptp(error) > 0
        rho = float(spearmanr(spread, error).statistic) if varied else None
        size = float(np.sqrt(np.mean(np.square(spread)))) if len(spread) else 0.0
        ratio = float(np.sqrt(np.mean(np.square(error)))) / size if size > 0 else None
        return cls(len(spread), rho, ratio, spread.tolist(), error.tolist())

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
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
        """Energies per atom (M, n_cells) in eV, and the forces (M, n_atoms, 3) of each cell in eV/Å."""
        energies, forces = (
            np.empty((len(self), len(cells))),
            [np.empty((len(self), len(each), 3)) for each in cells],
        )
        for start in range(0, len(cells), TOGETHER):
            batch = Batch.of(list(cells[start : start + TOGETHER]), device=self.device)
            for k, member in enumerate(self.members):
                found = member(batch)
                parts = np.split(found.forces.cpu().numpy(), batch.cells.first[1:-1])
                for place, (energy, own) in enumerate(
                    zip(found.energy.tolist(), parts, strict=True), start
                ):
                    energies[k, place], forces[place][k] = energy / len(own), own
        return energies, forces

    def spread(self, cells: Sequence[Atoms], of: str) -> Array:
        """u_E (eV/atom) or u_F (eV/Å) of each cell (n,), equation (1); `of` is "energy" or "forces"."""
        energies, forces = self.predict(cells)
        return energies.std(axis=0, ddof=1) if of == "energy" else _spread(forces)

    def calibration(self, cells: Sequence[Atoms]) -> dict[str, Calibration]:
        """Of energy and forces, on labelled cells that no member was trained on."""
        energies, forces = self.predict(cells)
        label = np.array([atoms.get_potential_energy() / len(atoms) for atoms in cells])
        off = [
            own.mean(axis=0) - atoms.get_forces() for own, atoms in zip(forces, cells, strict=True)
        ]
        return {
            "energy": Calibration.of(
                energies.std(axis=0, ddof=1), np.abs(energies.mean(axis=0) - label)
            ),
            "forces": Calibration.of(
                _spread(forces), np.array([np.sqrt(np.mean(each**2)) for each in off])
            ),
        }


def _spread(forces: Sequence[Array]) -> Array:
    """u_F of each cell."""
    return np.array([np.sqrt(own.var(axis=0, ddof=1).mean()) for own in forces])
