"""Many cells as tensors on one device, as fingerprints, batched models and dynamics take them.

Atoms of all cells are numbered through. What does not change while the atoms move (species,
lattices, the images that a neighbour search has to look at) is worked out once and shared by all
batches made with `Batch.at`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.data import covalent_radii
from torch import Tensor

from entropy_flows.conventions import Array
from entropy_flows.skin import Skin

MIN_VOLUME = 0.2
"""Å³ for each atom, several times less than hydrogen's at 10 TPa; environments of denser cells
have no end.
"""


class Cells:
    """The part of a batch that stays while atoms move: B cells with n atoms in all.

    Attributes
    ----------
    sizes
        Atoms in each cell.
    numbers
        Atomic numbers (n,), on the CPU.
    lattice, pbc
        Lattice vectors (B, 3, 3) in Å, one a row, and which of them repeat (B, 3); on the CPU.
    device
        Device of the positions.
    cache
        Lookup tables of a neighbour search, by cutoff.
    skin
        Pairs that are kept while atoms move, for who asks for it; None otherwise.
    """

    def __init__(
        self, sizes: Sequence[int], numbers: np.ndarray, lattice: Array, pbc: Array, device: str
    ) -> None:
        self.sizes = list(sizes)
        self.numbers = np.asarray(numbers, dtype=np.int64)
        self.lattice = lattice
        self.pbc = pbc
        self.device = torch.device(device)
        self.cache: dict[float, Any] = {}
        self.skin: Skin | None = None

    def __len__(self) -> int:
        return len(self.sizes)

    @cached_property
    def first(self) -> np.ndarray:
        """Number of each cell's first atom, and n at the end (B + 1,)."""
        return np.cumsum([0, *self.sizes])

    @cached_property
    def owner(self) -> Tensor:
        """Cell of each atom (n,), on the device."""
        return torch.from_numpy(np.repeat(np.arange(len(self)), self.sizes)).to(self.device)

    @cached_property
    def species(self) -> Tensor:
        """Atomic numbers (n,), on the device."""
        return torch.from_numpy(self.numbers).to(self.device)

    @cached_property
    def radii(self) -> Tensor:
        """Covalent radii (n,) in Å, on the device."""
        return torch.from_numpy(covalent_radii[self.numbers]).to(self.device)

    @cached_property
    def vectors(self) -> Tensor:
        """Lattice vectors (B, 3, 3), on the device."""
        return torch.from_numpy(self.lattice).to(self.device)

    @cached_property
    def volumes(self) -> Tensor:
        """Volumes (B,) in Å³, on the device."""
        return torch.linalg.det(self.vectors).abs()

    @cached_property
    def _size(self) -> int:
        """Atoms of each cell, where that is one number; else 0."""
        return self.sizes[0] if len(set(self.sizes)) == 1 else 0

    def total(self, values: Tensor) -> Tensor:
        """Sum values (…, n, c) over the atoms of each cell (…, B, c).

        On a CPU one atom is added after the other, so that a cell has the same bits in any batch.
        """
        if self._size and self.device.type != "cpu":
            return values.unflatten(-2, (len(self), self._size)).sum(-2)
        out = values.new_zeros(*values.shape[:-2], len(self), values.shape[-1])
        return out.index_add_(-2, self.owner, values)

    def largest(self, values: Tensor) -> Tensor:
        """Return the largest |value| of those (n, c) of each cell (B,); nan stays nan."""
        if self._size and self.device.type != "cpu":
            return values.abs().view(len(self), -1).amax(1)
        out = values.new_zeros(len(self))
        return out.scatter_reduce_(0, self.owner, values.abs().amax(1), "amax")

    def take(self, chosen: Sequence[int]) -> Cells:
        """Return some of the cells, in the order given."""
        numbers = self.numbers[self.atoms(chosen)]
        sizes = [self.sizes[index] for index in chosen]
        indices = list(chosen)
        return Cells(sizes, numbers, self.lattice[indices], self.pbc[indices], str(self.device))

    def on(self, device: str) -> Cells:
        """Return the same cells on another device."""
        return Cells(self.sizes, self.numbers, self.lattice, self.pbc, device)

    def atoms(self, chosen: Sequence[int]) -> np.ndarray:
        """Return the numbers of the atoms of some of the cells, cell by cell."""
        ranges = [np.arange(self.first[index], self.first[index + 1]) for index in chosen]
        return np.concatenate([np.zeros(0, dtype=np.int64), *ranges])


class Batch:
    """Cells and the positions of their atoms.

    Attributes
    ----------
    cells
        Species and lattices.
    positions
        Positions (n, 3) in Å, float64, on the cells' device; not necessarily inside the cells.
    """

    def __init__(self, cells: Cells, positions: Tensor) -> None:
        self.cells = cells
        self.positions = positions

    def __len__(self) -> int:
        return len(self.cells)

    @classmethod
    def of(cls, structures: Sequence[Atoms], device: str = "cpu") -> Batch:
        """Build a batch of ASE cells.

        Raises
        ------
        ValueError
            For a cell without atoms, positions or cell vectors that are not finite, periodic
            vectors without a volume, or more atoms than there can be in its volume.
        """
        sizes = [len(atoms) for atoms in structures]
        lattice = np.array([np.asarray(atoms.cell) for atoms in structures], dtype=float)
        pbc = np.array([atoms.pbc for atoms in structures], dtype=bool)
        positions = np.concatenate([atoms.positions for atoms in structures])
        if not _are_crystals(sizes, lattice, pbc, positions):
            for atoms in structures:
                _check(atoms)
        numbers = np.concatenate([atoms.numbers for atoms in structures])
        cells = Cells(sizes, numbers, lattice, pbc, device)
        return cls(cells, torch.from_numpy(positions).to(cells.device))

    def at(self, positions: Tensor) -> Batch:
        """Return the same cells with their atoms elsewhere."""
        return Batch(self.cells, positions)

    def take(self, chosen: Sequence[int]) -> Batch:
        """Return some of the cells, in the order given."""
        atoms = torch.from_numpy(self.cells.atoms(chosen)).to(self.positions.device)
        return Batch(self.cells.take(chosen), self.positions[atoms])

    def structures(self) -> list[Atoms]:
        """Return the batch as ASE cells."""
        cells = self.cells
        positions = self.positions.detach().cpu().numpy()
        spans = zip(cells.first, cells.first[1:], strict=False)
        return [
            Atoms(
                numbers=cells.numbers[a:b],
                positions=positions[a:b],
                cell=cells.lattice[i],
                pbc=cells.pbc[i],
            )
            for i, (a, b) in enumerate(spans)
        ]


def _are_crystals(sizes: Sequence[int], lattice: Array, pbc: Array, positions: Array) -> bool:
    """Return whether all cells pass the checks of one that repeats in three directions."""
    if not pbc.all() or min(sizes) == 0:
        return False
    if not np.isfinite(positions).all() or not np.isfinite(lattice).all():
        return False
    volumes = np.abs(np.linalg.det(lattice))
    edges = np.linalg.norm(lattice, axis=2).prod(axis=1)
    return bool(((volumes > 1e-6 * edges) & (volumes >= MIN_VOLUME * np.array(sizes))).all())


def _check(atoms: Atoms) -> None:
    if len(atoms) == 0:
        raise ValueError("a cell with 0 atoms has no environments; at least 1 atom is needed")
    positions = atoms.positions
    cell = np.asarray(atoms.cell[:], dtype=float)
    if not np.isfinite(positions).all():
        worst = int(np.argmin(np.isfinite(positions).all(axis=1)))
        raise ValueError(
            f"position of atom {worst} is {positions[worst].tolist()}; positions must be finite"
        )
    if not np.isfinite(cell).all():
        raise ValueError(f"cell vectors are {cell.tolist()}; they must be finite")
    periodic = cell[atoms.pbc]
    # an area or a length where fewer vectors repeat, 1 for a molecule
    volume = float(np.sqrt(max(np.linalg.det(periodic @ periodic.T), 0.0)))
    if not volume > 1e-6 * float(np.prod(np.linalg.norm(periodic, axis=1))):
        raise ValueError(
            f"the periodic vectors of cell {cell.tolist()} span a volume of {volume:g}; "
            f"it must be positive"
        )
    if atoms.pbc.all() and volume < MIN_VOLUME * len(atoms):
        raise ValueError(
            f"{len(atoms)} atoms in {volume:.3g} Å³ are {volume / len(atoms):.2g} Å³ for each; "
            f"at least {MIN_VOLUME:g} is expected"
        )
