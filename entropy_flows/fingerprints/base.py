"""The protocol of a fingerprint, and a base class that completes one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, overload, runtime_checkable

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers

from entropy_flows.conventions import Array
from entropy_flows.digest import digest
from entropy_flows.params import Params

if TYPE_CHECKING:
    from torch import Tensor

    from entropy_flows.batch import Batch

Pullback = Callable[[Array], tuple[Array, Array]]
"""w (n_atoms, dim) → gradient (n_atoms, 3) and strain gradient (3, 3) of the φ with ∂φ/∂q = w."""


@dataclass(frozen=True)
class EigenvalueSpectra:
    """Fingerprints of a batch of cells as torch tensors; all atoms are numbered through."""

    q: Tensor
    """(n_atoms, dim), float64."""
    sizes: list[int]
    """Atoms in each cell."""
    adjoint: Callable[[Tensor], tuple[Tensor, Tensor]] | None
    """What `pullback` does to weights of the right shape; None if only values were asked for."""

    def pullback(self, w: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradient (n_atoms, 3) and strain gradients of the φ with ∂φ/∂q = w.

        There is a strain gradient (3, 3) for each cell: (n_cells, 3, 3).
        """
        if self.adjoint is None:
            raise ValueError("spectra without eigenvectors have no pullback: ask for vectors=True")
        if w.shape != self.q.shape:
            raise ValueError(
                f"weights have shape {tuple(w.shape)}; the fingerprints have {tuple(self.q.shape)}"
            )
        return self.adjoint(w.contiguous())


@runtime_checkable
class Fingerprint(Protocol):
    """A differentiable map from a cell to one vector per atom.

    Rotation, translation and the order of the atoms make no difference.
    """

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
    def fingerprint_hash(self) -> str:
        """Short digest of `settings`, kept beside stored vectors to tell what they are."""

    @overload
    def __call__(self, atoms: Atoms) -> Array: ...
    @overload
    def __call__(self, atoms: Sequence[Atoms]) -> list[Array]: ...
    def __call__(self, atoms: Atoms | Sequence[Atoms]) -> Array | list[Array]:
        """Fingerprints (n_atoms, dim) of a cell, or a list of them for a list of cells."""

    def spectra(self, cells: Sequence[Atoms] | Batch, vectors: bool = True) -> EigenvalueSpectra:
        """Fingerprints of many cells at once; with `vectors`, their pullback can be asked for."""

    def vjp(self, atoms: Atoms) -> tuple[Array, Pullback]:
        """Return fingerprints and their vector-Jacobian product.

        The strain gradient is not divided by the volume.
        """


class FingerprintSettings(Params):
    """Parameters of a fingerprint.

    Each kind has a class of its own with a field `kind`, whose default is its name, and a field
    `elements`, which a campaign fills in.
    """


class FingerprintBase(ABC):
    """Everything that a fingerprint has once `spectra`, `dim` and `settings` are defined.

    Attributes
    ----------
    takes
        Class of the parameters; the constructor takes their fields as keywords.
    is_bound
        Whether batches have to be on the fingerprint's own device, as those of a model; else it
        works where the batch is.
    params
        All parameters.
    """

    takes: ClassVar[type[FingerprintSettings]]
    is_bound: ClassVar[bool] = False

    def __init__(self, **settings: Any) -> None:
        self.params: Any = self.takes(**settings)

    def __repr__(self) -> str:
        given = self.params.model_dump(exclude_unset=True)
        arguments = ", ".join(f"{name}={value!r}" for name, value in given.items())
        return f"{type(self).__name__}({arguments})"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self.params == other.params

    def __hash__(self) -> int:
        return hash(self.fingerprint_hash)

    @property
    @abstractmethod
    def dim(self) -> int:
        """Length of an atom's vector."""

    @property
    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Everything that determines the vectors, in JSON types."""

    @abstractmethod
    def spectra(self, cells: Sequence[Atoms] | Batch, vectors: bool = True) -> EigenvalueSpectra:
        """Fingerprints of many cells at once; with `vectors`, their pullback can be asked for."""

    @property
    def device(self) -> str:
        """Torch device it works on."""
        return "cpu"

    @property
    def fingerprint_hash(self) -> str:
        """First 16 hex digits of the SHA-256 of `settings`."""
        return digest(self.settings)[:16]

    def as_dict(self) -> dict[str, Any]:
        """MSON form."""
        return {
            "@module": type(self).__module__,
            "@class": type(self).__name__,
            **self.params.model_dump(mode="json"),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Inverse of `as_dict`."""
        return cls(**{name: value for name, value in data.items() if not name.startswith("@")})

    @overload
    def __call__(self, atoms: Atoms) -> Array: ...
    @overload
    def __call__(self, atoms: Sequence[Atoms]) -> list[Array]: ...
    def __call__(self, atoms: Atoms | Sequence[Atoms]) -> Array | list[Array]:
        """Fingerprints (n_atoms, dim) of a cell, or a list of them for a list of cells."""
        if isinstance(atoms, Atoms):
            return self.spectra([atoms], vectors=False).q.cpu().numpy()
        if not len(atoms):
            return []
        spectra = self.spectra(atoms, vectors=False)
        return np.split(spectra.q.cpu().numpy(), np.cumsum(spectra.sizes)[:-1])

    def vjp(self, atoms: Atoms) -> tuple[Array, Pullback]:
        """Return fingerprints (n_atoms, dim) and their pullback.

        It takes w = ∂φ/∂q to the gradient (n_atoms, 3) and ∂φ/∂ε (3, 3).
        """
        import torch

        spectra = self.spectra([atoms])

        def pullback(w: Array) -> tuple[Array, Array]:
            gradient, strain = spectra.pullback(
                torch.as_tensor(w, dtype=torch.float64, device=self.device)
            )
            return gradient.cpu().numpy(), strain[0].cpu().numpy()

        return spectra.q.cpu().numpy(), pullback


def ordered_elements(elements: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """Elements of a data set in order of atomic number.

    Raises
    ------
    ValueError
        If one is unknown or named twice, or there is none.
    """
    if elements is None:
        return None
    for symbol in elements:
        if symbol not in atomic_numbers:
            raise ValueError(f"unknown element '{symbol}' in elements {elements}")
    if not elements or len(set(elements)) < len(elements):
        raise ValueError(f"elements {elements} must name at least one species, and each only once")
    return tuple(sorted(elements, key=lambda symbol: atomic_numbers[symbol]))
