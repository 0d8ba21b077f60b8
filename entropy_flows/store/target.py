"""The cells that stand for a target, as bytes: all that its statistics follow from."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from zipfile import BadZipFile

import numpy as np
from ase import Atoms

from entropy_flows.conventions import Array
from entropy_flows.entropy import CellBasis, CellMeans
from entropy_flows.entropy.variance import TargetMoments


@dataclass(frozen=True, eq=False)
class TargetCells:
    """Cells of a target with their mean fingerprints.

    Attributes
    ----------
    cells
        The cells.
    means
        Their mean fingerprints and sizes.
    weights
        Share (n,) of each in the target.
    """

    cells: Sequence[Atoms]
    means: CellMeans
    weights: Array

    def __len__(self) -> int:
        return len(self.weights)

    def moments(self, basis: CellBasis) -> TargetMoments:
        """Return μ and T in a basis."""
        return TargetMoments.of(basis.features(self.means.means), self.weights)

    def to_bytes(self) -> bytes:
        """Pack positions, numbers, cells, mean fingerprints and weights, without pickle."""
        stream = io.BytesIO()
        np.savez(
            stream,
            sizes=self.means.sizes.astype("<i4"),
            numbers=np.concatenate([atoms.numbers for atoms in self.cells]).astype("<i4"),
            positions=np.concatenate([atoms.positions for atoms in self.cells]).astype("<f8"),
            cells=np.array([atoms.cell.array for atoms in self.cells], dtype="<f8"),
            pbc=np.array([atoms.pbc for atoms in self.cells]),
            means=self.means.means.astype("<f8"),
            weights=self.weights.astype("<f8"),
        )
        return stream.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> TargetCells:
        """Unpack what `to_bytes` packed.

        Raises
        ------
        ValueError
            If the bytes are no target.
        """
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
            ends = np.cumsum(arrays["sizes"])[:-1]
            rows = zip(
                np.split(arrays["numbers"], ends),
                np.split(arrays["positions"], ends),
                arrays["cells"],
                arrays["pbc"],
                strict=True,
            )
            cells = [
                Atoms(numbers, positions=positions, cell=cell, pbc=pbc)
                for numbers, positions, cell, pbc in rows
            ]
            means = CellMeans(arrays["means"], arrays["sizes"].astype(float))
            return cls(cells, means, arrays["weights"])
        except (OSError, KeyError, ValueError, EOFError, BadZipFile) as err:
            raise ValueError(f"{len(data)} bytes are no cells of a target: {err}") from None
