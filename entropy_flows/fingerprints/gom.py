"""Gaussian overlap matrix (GOM) fingerprint with s orbitals.

    q_i = the natx largest eigenvalues, descending and padded with zeros, of the overlap matrix of
    atom i's environment

With several species an atom has one matrix per pair (or per species), each over the members of
these species only, and its spectra are concatenated in order of atomic number. The matrices and the
adjoint are in `overlap`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from ase import Atoms
from ase.data import atomic_numbers, chemical_symbols
from numpy.typing import NDArray

from entropy_flows.batch import Batch, Cells
from entropy_flows.fingerprints import overlap, overlap_cpu
from entropy_flows.fingerprints.base import EigenvalueSpectra, FingerprintBase
from entropy_flows.fingerprints.gom_params import GOMParams
from entropy_flows.fingerprints.members import Blocks
from entropy_flows.fingerprints.overlap import Form


class GOM(FingerprintBase):
    """GOM fingerprint; takes the fields of `GOMParams` as keywords.

    An atom's vector depends on its own environment only: matrices are padded to sizes fixed by
    their own row count, so the same cell gives the same numbers alone and in any batch.

    Examples
    --------
    >>> gom = GOM(cutoff=3.0, natx=20, elements=("Si",))
    >>> q, pullback = gom.vjp(bulk("Si"))
    """

    takes = GOMParams
    params: GOMParams

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._dim = (
            None
            if self.params.elements is None
            else self._count(len(self.params.elements)) * self.params.natx
        )
        if self.params.species == "single":
            self._dim = self.params.natx
        self._blocks: WeakKeyDictionary[Cells, Blocks] = WeakKeyDictionary()
        self._form = Form(self.params.cutoff, self.params.exponent, self.params.overlap)

    @property
    def dim(self) -> int:
        """Length of an atom's vector; with elements=None, that of the last cell seen."""
        if self._dim is None:
            raise ValueError("dim is not known before the first cell: give elements=(...)")
        return self._dim

    @property
    def device(self) -> str:
        """Torch device of the eigenvalue problems."""
        return self.params.device

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that determines the vectors, in JSON types."""
        idle = {"device"} if self.params.scale else {"device", "scale"}
        return {
            "fingerprint": "gom",
            "version": 1,
            **self.params.model_dump(mode="json", exclude=idle),
        }

    def spectra(self, cells: Sequence[Atoms] | Batch, vectors: bool = True) -> EigenvalueSpectra:
        """Fingerprints of a batch of cells on the device.

        Parameters
        ----------
        cells
            ASE cells, or a batch, whose own device then counts.
        vectors
            Whether the pullback is wanted: it keeps 16 n² bytes for each matrix of n rows.
        """
        batch = cells if isinstance(cells, Batch) else Batch.of(cells, self.params.device)
        blocks = self._blocks.get(batch.cells)
        if blocks is None:
            blocks = self._blocks[batch.cells] = self._blocks_of(batch.cells)
        self._dim = len(blocks.allowed) * self.params.natx
        backend = overlap_cpu if batch.cells.device.type == "cpu" else overlap
        return self._scaled(backend.spectra(batch, self._form, blocks, self.params.natx, vectors))

    def _scaled(self, raw: EigenvalueSpectra) -> EigenvalueSpectra:
        """q/s, and ∂φ/∂r = (∂q/∂r)ᵀ (w/s)."""
        if self.params.scale is None:
            return raw
        scale = np.array(self.params.scale)
        if len(scale) * self.params.natx == self.dim:
            scale = np.repeat(scale, self.params.natx)
        if len(scale) != self.dim:
            raise ValueError(
                f"scale has {len(scale)} numbers; expected {self.dim}, or one for each of the "
                f"{self.dim // self.params.natx} matrices"
            )
        s = torch.as_tensor(scale, device=raw.q.device)
        adjoint = raw.adjoint
        return EigenvalueSpectra(
            raw.q / s, raw.sizes, None if adjoint is None else lambda w: adjoint(w / s)
        )

    def _count(self, species: int) -> int:
        return {"single": 1, "center": species, "pairs": species * (species + 1) // 2}[
            self.params.species
        ]

    def _blocks_of(self, cells: Cells) -> Blocks:
        """Return the composition of the cells' matrices.

        Raises
        ------
        ValueError
            If the settings do not allow a species.
        """
        present = np.unique(cells.numbers)
        if self.params.elements is None:
            numbers = present
            if self.params.species != "single" and len(cells) > 1:
                for numbers_of_cell in np.split(cells.numbers, cells.first[1:-1]):
                    if not np.array_equal(np.unique(numbers_of_cell), present):
                        raise ValueError(
                            "cells of different elements in one call: give elements=(...)"
                        )
        else:
            numbers = np.array([atomic_numbers[symbol] for symbol in self.params.elements])
            for number in present:
                if number not in numbers:
                    allowed = ", ".join(self.params.elements)
                    raise ValueError(
                        f"element '{chemical_symbols[number]}' is not among the elements "
                        f"({allowed})"
                    )
        radii = np.array([self.params.radius(chemical_symbols[number]) for number in numbers])
        gamma, log_c = self._form.tables(0.5 / radii**2)
        species = np.searchsorted(numbers, cells.numbers)
        return Blocks(
            species,
            gamma,
            log_c,
            self._form.coefficients(gamma, log_c),
            self._allowed(len(numbers)),
            with_centre=self.params.species == "center",
        )

    def _allowed(self, count: int) -> NDArray[np.bool_]:
        """Species of each block's members (blocks, species)."""
        each = np.eye(count, dtype=bool)
        if self.params.species == "single":
            return np.ones((1, count), dtype=bool)
        if self.params.species == "center":
            return each
        return np.array([each[s] | each[t] for s in range(count) for t in range(s, count)])
