"""The cells that are measured: thermal ones, each seed another."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk
from matscipy.neighbours import neighbour_list

from entropy_flows.fingerprints import GOM

LATTICE = {"Si": ("diamond", 5.43), "C": ("diamond", 3.567), "NaCl": ("rocksalt", 5.64)}


@dataclass(frozen=True)
class Case:
    """A crystal of so many copies of its cell, rattled, under a fingerprint."""

    crystal: str
    repeat: tuple[int, int, int]
    cutoff: float
    species: str = "pairs"
    rattle: float = 0.08

    @property
    def atoms(self) -> int:
        """Atoms in a cell: the primitive one repeated; for NaCl the conventional one."""
        return int(np.prod(self.repeat)) * (8 if self.crystal == "NaCl" else 2)

    @property
    def name(self) -> str:
        """Crystal and number of atoms."""
        return f"{self.crystal}{self.atoms}"

    def cells(self, count: int, first: int = 1) -> list[Atoms]:
        """Different cells of this case."""
        structure, a = LATTICE[self.crystal]
        cells = [
            bulk(self.crystal, structure, a=a, cubic=self.crystal == "NaCl") * self.repeat
            for _ in range(count)
        ]
        for seed, atoms in enumerate(cells, first):
            atoms.rattle(self.rattle, seed=seed)
        return cells

    def gom(self, cells: list[Atoms], **settings: Any) -> GOM:
        """Fingerprint with room for all eigenvalues of these cells."""
        natx = max(
            int(np.bincount(neighbour_list("i", atoms, self.cutoff)).max()) + 1 for atoms in cells
        )
        return GOM(cutoff=self.cutoff, natx=natx, species=self.species, **settings)

    def single(self) -> Case:
        """The same cells with one matrix an atom."""
        return replace(self, species="single")


SI16, SI32 = Case("Si", (2, 2, 2), 4.5), Case("Si", (2, 2, 4), 4.5)
C16, C32 = Case("C", (2, 2, 2), 4.5), Case("C", (2, 2, 4), 4.5)
NACL64 = Case("NaCl", (2, 2, 2), 4.5)
QUICK = [SI16, C16, NACL64]
CASES = [SI16, SI32, replace(C16, cutoff=3.0), replace(C32, cutoff=3.0), C16, C32, NACL64]
