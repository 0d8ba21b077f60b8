"""What a fingerprint must offer for the entropies, the surfaces and the selection to work with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, overload, runtime_checkable

from ase import Atoms

from entropy_flows.conventions import Array

Pullback = Callable[[Array], tuple[Array, Array]]
"""w (n_atoms, dim) → gradient (n_atoms, 3) and strain gradient (3, 3) of the φ with ∂φ/∂q = w."""


@runtime_checkable
class Fingerprint(Protocol):
    """A differentiable map from a cell to one vector per atom, blind to rotation, translation and atom order."""

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

    def vjp(self, atoms: Atoms) -> tuple[Array, Pullback]:
        """Fingerprints and their vector-Jacobian product; the strain gradient is not divided by the volume."""
