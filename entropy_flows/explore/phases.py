"""Seed phases, as a campaign file describes them."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import Field, field_validator, model_validator

from entropy_flows.moments import collinear
from entropy_flows.params import Params


class Lengths(Params):
    """Unit-cell lengths (Å) and angles (degrees)."""

    a: float = Field(gt=0)
    """First length (Å)."""
    b: float | None = Field(None, gt=0)
    """Second one (Å); None takes a."""
    c: float | None = Field(None, gt=0)
    """Third one (Å); None takes a."""
    alpha: float = Field(90.0, gt=0, lt=180)
    """Angle between the second and the third (degrees)."""
    beta: float = Field(90.0, gt=0, lt=180)
    """Angle between the first and the third (degrees)."""
    gamma: float = Field(90.0, gt=0, lt=180)
    """Angle between the first and the second (degrees)."""


Row = tuple[int, int, int]
"""A supercell's vector in terms of the cell's."""


class Phase(Params):
    """A seed crystal: a structure file, or a space group with its lattice and sites."""

    name: str
    """Short name used in the grid and in the database."""
    file: str | None = None
    """A file with one cell: CIF, POSCAR or what else pymatgen reads, or extended XYZ; relative
    to the campaign file.
    """
    spacegroup: str | int | None = None
    """International symbol or number, with `lattice` and `sites`."""
    lattice: Lengths | None = None
    sites: dict[str, tuple[tuple[float, float, float], ...]] | None = None
    """Element → fractional coordinates of the asymmetric unit."""
    primitive: bool = False
    """Reduce to the primitive cell before building the supercell."""
    supercell: tuple[int, int, int] | tuple[Row, Row, Row] = (1, 1, 1)
    """Repetitions along the lattice vectors, or a matrix whose rows are the new vectors in terms
    of the old ones.
    """
    magmoms: dict[str, float] | tuple[float, ...] | None = None
    """Initial magnetic moments (μ_B): by element or oxidation state ({Fe2+: 4, Fe3+: 5}; what is
    not named has 0); or a list, one for each atom of `file` or of `sites`, which symmetry and
    supercell repeat, or of the supercell.
    """
    max_atoms: int = Field(64, ge=1)
    """Refuse a seed cell with more atoms than this."""

    @model_validator(mode="after")
    def _one_source(self) -> Phase:
        built = self.spacegroup is not None and self.lattice is not None and self.sites
        if (self.file is None) == (not built):
            raise ValueError(
                f"phase {self.name!r}: give either `file`, or `spacegroup`, `lattice` and `sites`"
            )
        return self

    @field_validator("supercell", mode="before")
    @classmethod
    def _repetitions_or_matrix(cls, supercell: Any) -> Any:
        expected = (
            f"supercell {supercell} must be three positive integers, or a 3×3 matrix of integers "
            f"with a volume"
        )
        numbers = np.array(supercell, dtype=object)
        whole = all(
            isinstance(number, int) and not isinstance(number, bool) for number in numbers.ravel()
        )
        if numbers.shape not in ((3,), (3, 3)) or not whole:
            raise ValueError(expected)
        if numbers.ndim == 1:
            volume = min(numbers)
        else:
            volume = round(abs(np.linalg.det(numbers.astype(float))))
        if volume < 1:
            raise ValueError(expected)
        return supercell

    @field_validator("magmoms", mode="before")
    @classmethod
    def _collinear(cls, magmoms: Any) -> Any:
        """Take vectors along one axis for numbers."""
        return collinear(magmoms).tolist() if isinstance(magmoms, list | tuple) else magmoms
