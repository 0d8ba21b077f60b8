"""Seed phases, their equation of state on the current model, and the volume that stands for a pressure.

    V(P) = V0 (1 - P / B0)                                                       (paper A, section 3.1.1)
    V(P) = V0 (1 + B' P / B0)^(-1/B'),  B' = 4                                   (Murnaghan; where a relaxation follows)

V0, B0  equilibrium volume per atom (Å³) and bulk modulus (GPa) from a Birch-Murnaghan fit of the base model's energies
P       nominal pressure (GPa); the realised one is what the label's stress says
"""

from __future__ import annotations

import io
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.eos import EquationOfState as BirchMurnaghanFit
from pydantic import Field, model_validator
from pymatgen.core import Lattice, Structure

from entropy_flows.batch import Batch
from entropy_flows.faults import is_machine_fault
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


class Phase(Params):
    """A seed crystal: a structure file, or a space group with its lattice and sites."""

    name: str
    """Short name used in the grid and in the database."""
    file: str | None = None
    """Any file pymatgen reads (CIF, POSCAR, …), relative to the campaign file."""
    spacegroup: str | int | None = None
    """International symbol or number, with `lattice` and `sites`."""
    lattice: Lengths | None = None
    sites: dict[str, tuple[tuple[float, float, float], ...]] | None = None
    """Element → fractional coordinates of the asymmetric unit."""
    primitive: bool = False
    """Reduce to the primitive cell before building the supercell."""
    supercell: tuple[int, int, int] = (1, 1, 1)
    """Repetitions along the lattice vectors."""
    max_atoms: int = Field(64, ge=1)
    """Refuse a seed cell with more atoms than this."""

    @model_validator(mode="after")
    def _one_source(self) -> Phase:
        built = self.spacegroup is not None and self.lattice is not None and self.sites
        if (self.file is None) == (not built):
            raise ValueError(f"phase {self.name!r}: give either `file`, or `spacegroup`, `lattice` and `sites`")
        if min(self.supercell) < 1:
            raise ValueError(f"phase {self.name!r}: supercell {self.supercell} must be three positive integers")
        return self


@dataclass(frozen=True)
class EquationOfState:
    """Equilibrium volume per atom (Å³) and bulk modulus (GPa) of one phase on one model."""

    volume: float
    bulk_modulus: float


def seed_cell(phase: Phase, folder: Path | str = ".") -> Structure:
    """Build a phase's supercell.

    Raises
    ------
    ValueError
        If the file cannot be read, or the cell has more than `max_atoms` atoms.
    """
    if phase.file is not None:
        path = Path(folder) / phase.file
        if not path.is_file():
            raise ValueError(f"phase {phase.name!r}: file {path} does not exist")
        try:
            structure = Structure.from_file(path)
        except Exception as err:  # pymatgen's parsers stumble in many ways
            if is_machine_fault(err):
                raise
            raise ValueError(f"phase {phase.name!r}: {path} is not a structure file pymatgen can read: {err}") from err
        if not structure.is_ordered:
            raise ValueError(f"phase {phase.name!r}: {path} has sites that are partly occupied, or by several species")
    else:
        cell, spacegroup = phase.lattice, phase.spacegroup
        assert cell is not None, "the validator sees to it"
        assert spacegroup is not None
        lattice = Lattice.from_parameters(cell.a, cell.b or cell.a, cell.c or cell.a, cell.alpha, cell.beta, cell.gamma)
        species = [element for element, coords in (phase.sites or {}).items() for _ in coords]
        coords = [xyz for coords in (phase.sites or {}).values() for xyz in coords]
        try:
            structure = Structure.from_spacegroup(spacegroup, lattice, species, coords)
        except ValueError as err:
            raise ValueError(f"phase {phase.name!r}: {err}") from err
    if phase.primitive:
        structure = structure.get_primitive_structure()
    structure = structure.make_supercell(phase.supercell, in_place=False)
    structure.remove_oxidation_states()
    structure = Structure(structure.lattice, structure.species, structure.frac_coords)  # no site properties of the file
    if len(structure) > phase.max_atoms:
        raise ValueError(f"phase {phase.name!r}: {len(structure)} atoms, more than max_atoms = {phase.max_atoms}")
    return structure


def equation_of_state(
    atoms: Atoms, model: BatchModel, strain: float = 0.06, points: int = 9, attempts: int = 6
) -> EquationOfState:
    """Fit Birch-Murnaghan to energies of isotropically scaled cells, moving the window until it holds the minimum.

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
    start = centre = atoms.get_volume()
    for _ in range(attempts):
        volumes = centre * np.linspace(1 - strain, 1 + strain, points)
        energies = model(Batch.of([_scaled(atoms, volume) for volume in volumes], model.device)).energy.tolist()
        lowest = int(np.argmin(energies))
        if 0 < lowest < points - 1:
            with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
                v0, _, b0 = BirchMurnaghanFit(volumes, energies, eos="birchmurnaghan").fit(warn=False)
            if b0 > 0 and volumes[0] <= v0 <= volumes[-1]:
                return EquationOfState(float(v0) / len(atoms), float(b0 / units.GPa))
        centre = volumes[lowest]
    raise ValueError(
        f"no equation of state for {atoms.get_chemical_formula()}: the model's energy has no minimum "
        f"between {volumes[0] / len(atoms):.2f} and {volumes[-1] / len(atoms):.2f} Å³/atom "
        f"(started at {start / len(atoms):.2f})"
    )


def prescale(atoms: Atoms, pressure: float, eos: EquationOfState) -> Atoms:
    """A copy of the cell at V(P) = V0 (1 - P/B0), fractional coordinates kept.

    Raises
    ------
    ValueError
        If the linear estimate leaves less than 40 % of V0: the formula has nothing to say there.
    """
    fraction = 1 - pressure / eos.bulk_modulus
    if fraction < 0.4:
        raise ValueError(
            f"pressure {pressure:g} GPa is too high for V0 (1 - P/B0) with B0 = {eos.bulk_modulus:.0f} GPa; "
            f"the highest usable is {0.6 * eos.bulk_modulus:.0f} GPa"
        )
    return _scaled(atoms, eos.volume * len(atoms) * fraction)


def compressed(atoms: Atoms, pressure: float, eos: EquationOfState) -> Atoms:
    """A copy of the cell near its volume at any pressure, fractional coordinates kept: where a relaxation starts."""
    stiffening = 4.0
    base = max(1 + stiffening * pressure / eos.bulk_modulus, 0.5)
    return _scaled(atoms, eos.volume * len(atoms) * base ** (-1 / stiffening))


def _scaled(atoms: Atoms, volume: float) -> Atoms:
    scaled = atoms.copy()
    scaled.set_cell(atoms.cell * (volume / atoms.get_volume()) ** (1 / 3), scale_atoms=True)
    return scaled
