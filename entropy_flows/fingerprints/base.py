"""What a fingerprint must offer for the entropies, the surfaces and the selection to work with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, overload, runtime_checkable

from ase import Atoms
from torch import Tensor

from entropy_flows.batch import Batch
from entropy_flows.conventions import Array

Pullback = Callable[[Array], tuple[Array, Array]]
"""w (n_atoms, dim) → gradient (n_atoms, 3) and strain gradient (3, 3) of the φ with ∂φ/∂q = w."""


@dataclass(frozen=True)
class Spectra:
    """Fingerprints of a batch of cells as torch tensors; atoms of all cells are numbered through."""

    q: Tensor
    """(n_atoms, dim), float64."""
    sizes: list[int]
    """Atoms in each cell."""
    adjoint: Callable[[Tensor], tuple[Tensor, Tensor]] | None
    """What `pullback` does to weights of the right shape; None if only values were asked for."""

    def pullback(self, w: Tensor) -> tuple[Tensor, Tensor]:
        """Gradient (n_atoms, 3) and strain gradient of each cell (n_cells, 3, 3) of the φ with ∂φ/∂q = w."""
        if self.adjoint is None:
            raise ValueError("spectra without eigenvectors have no pullback: ask for vectors=True")
        if w.shape != self.q.shape:
            raise ValueError(f"weights have shape {tuple(w.shape)}; the fingerprints have {tuple(self.q.shape)}")
        return self.adjoint(w.contiguous())


@runtime_checkable
class Fingerprint(Protocol):
    """A differentiable map from a cell to one vector per atom, blind to rotation, translation and atom order."""

    @property
    def device(self) -> str:
        """Torch device it works on."""

    @property
    def dim(self) -> int:
        """Length of an atom's vector."""

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that determines the vectors, in JSON types."""

    @property
    def settings_hash(self) -> str:
        """Short digest of `settings`, kept beside stored vectors to tell what they are."""

    @overload
    def __call__(self, atoms: Atoms) -> Array: ...
    @overload
    def __call__(self, atoms: Sequence[Atoms]) -> list[Array]: ...
    def __call__(self, atoms: Atoms | Sequence[Atoms]) -> Array | list[Array]:
        """Fingerprints (n_atoms, dim) of a cell, or a list of them for a list of cells."""

    def spectra(self, cells: Sequence[Atoms] | Batch, vectors: bool = True) -> Spectra:
        """Fingerprints of many cells at once; with `vectors`, their pullback can be asked for."""

    def vjp(self, atoms: Atoms) -> tuple[Array, Pullback]:
        """Fingerprints and their vector-Jacobian product; the strain gradient is not divided by the volume."""
