"""A fingerprint: smooth numbers of neighbours within several distances.

q_ik = Σ_j f(r_ij / r_k),    f(x) = (1 − x²)³ for x < 1, else 0
"""

from collections.abc import Sequence
from typing import Any

import torch
from ase import Atoms
from pydantic import Field
from torch import Tensor

from entropy_flows.batch import Batch
from entropy_flows.fingerprints import EigenvalueSpectra, FingerprintBase, FingerprintSettings
from entropy_flows.neighbors import neighbors


class CoordinationSettings(FingerprintSettings):
    """Parameters of the coordination numbers."""

    kind: str = "coordination"
    radii: tuple[float, ...] = Field((2.5, 3.5, 4.5), min_length=1)
    """Distances r_k (Å)."""
    elements: tuple[str, ...] | None = None
    """Elements of the data set; they are not told apart."""


class Coordination(FingerprintBase):
    """Coordination numbers at several distances."""

    takes = CoordinationSettings

    @property
    def dim(self) -> int:
        """Return the number of distances."""
        return len(self.params.radii)

    @property
    def settings(self) -> dict[str, Any]:
        """Return everything that determines the vectors."""
        return {"fingerprint": "coordination", "radii": list(self.params.radii)}

    def spectra(self, cells: Sequence[Atoms] | Batch, vectors: bool = True) -> EigenvalueSpectra:
        """Return the fingerprints of a batch of cells, with their pullback."""
        batch = cells if isinstance(cells, Batch) else Batch.of(cells)
        pairs = neighbors(batch, max(self.params.radii))
        n_atoms = len(batch.positions)
        radii = torch.tensor(self.params.radii, dtype=torch.float64, device=batch.positions.device)
        inside = (1 - (pairs.vectors.norm(dim=1)[:, None] / radii) ** 2).clamp(min=0)
        q = inside.new_zeros(n_atoms, self.dim).index_add(0, pairs.centers, inside**3)

        def pullback(w: Tensor) -> tuple[Tensor, Tensor]:
            # d(1 − r²/R²)³ = −6 (1 − r²/R²)² r⃗·dr⃗ / R², for each pair
            slopes = (w[pairs.centers] * -6 * inside**2 / radii**2).sum(dim=1)
            pulls = slopes[:, None] * pairs.vectors
            gradient = torch.zeros_like(batch.positions)
            gradient.index_add_(0, pairs.members, pulls)
            gradient.index_add_(0, pairs.centers, -pulls)
            strain = pulls.new_zeros(len(batch.cells), 3, 3)
            products = pulls[:, :, None] * pairs.vectors[:, None, :]
            strain.index_add_(0, batch.cells.owner[pairs.centers], products)
            return gradient, strain

        return EigenvalueSpectra(q, batch.cells.sizes, pullback if vectors else None)
