"""Seed phases, their equation of state on the model, and the volume that stands for a pressure.

    V(P) = V0 (1 - P / B0)                         (Wang 2026, section 3.1.1)
    V(P) = V0 (1 + B' P / B0)^(-1/B'),  B' = 4     (Murnaghan; where a relaxation follows)

V0, B0  equilibrium volume per atom (Å³) and bulk modulus (GPa) on the base model, by a
        Birch-Murnaghan fit of its energies
P       nominal pressure (GPa); the realised one is what the label's stress says
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from pydantic import Field, field_validator, model_validator

from entropy_flows.batch import Batch
from entropy_flows.equilibrium import BirchMurnaghan
from entropy_flows.geometry import scaled_to_volume
from entropy_flows.moments import collinear
from entropy_flows.params import Params
from entropy_flows.potentials import BatchModel


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


@dataclass(frozen=True)
class EquationOfState:
    """Equilibrium volume per atom (Å³) and bulk modulus (GPa) of one phase on one model."""

    volume: float
    bulk_modulus: float


def equation_of_state(
    atoms: Atoms, model: BatchModel, strain: float = 0.06, points: int = 9, attempts: int = 6
) -> EquationOfState:
    """Fit Birch-Murnaghan to energies of isotropically scaled cells.

    The window of volumes moves until it holds the minimum.

    Parameters
    ----------
    atoms
        Seed cell; not changed.
    model
        Model whose energies are fitted.
    strain
        Half width of the window in volume, as a fraction.
    points
        Energies per window.
    attempts
        Windows tried before giving up.

    Raises
    ------
    ValueError
        If no minimum is found: the model does not bind this phase.
    """
    start = atoms.get_volume()
    centre = start
    for _ in range(attempts):
        volumes = centre * np.linspace(1 - strain, 1 + strain, points)
        cells = [scaled_to_volume(atoms, volume) for volume in volumes]
        energies = model(Batch.of(cells, model.device)).energy.tolist()
        lowest = int(np.argmin(energies))
        if 0 < lowest < points - 1:
            fit = BirchMurnaghan.fit(volumes, energies)
            if fit.bulk_modulus > 0 and volumes[0] <= fit.volume <= volumes[-1]:
                return EquationOfState(fit.volume / len(atoms), fit.bulk_modulus)
        centre = volumes[lowest]
    raise ValueError(
        f"no equation of state for {atoms.get_chemical_formula()}: "
        f"the model's energy has no minimum "
        f"between {volumes[0] / len(atoms):.2f} and {volumes[-1] / len(atoms):.2f} Å³/atom "
        f"(started at {start / len(atoms):.2f})"
    )


def prescale(atoms: Atoms, pressure: float, eos: EquationOfState) -> Atoms:
    """Return a copy of the cell at V(P) = V0 (1 - P/B0), with the same fractional coordinates.

    Raises
    ------
    ValueError
        If the linear estimate leaves less than 40 % of V0: the formula has nothing to say there.
    """
    fraction = 1 - pressure / eos.bulk_modulus
    if fraction < 0.4:
        raise ValueError(
            f"pressure {pressure:g} GPa is too high for V0 (1 - P/B0) with "
            f"B0 = {eos.bulk_modulus:.0f} GPa; "
            f"the highest usable is {0.6 * eos.bulk_modulus:.0f} GPa"
        )
    return scaled_to_volume(atoms, eos.volume * len(atoms) * fraction)


def compressed(atoms: Atoms, pressure: float, eos: EquationOfState) -> Atoms:
    """Return a copy of the cell near its volume at any pressure, where a relaxation starts.

    Fractional coordinates stay.
    """
    stiffening = 4.0
    base = max(1 + stiffening * pressure / eos.bulk_modulus, 0.5)
    return scaled_to_volume(atoms, eos.volume * len(atoms) * base ** (-1 / stiffening))
