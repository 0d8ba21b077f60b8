"""Parameters of the physics checks."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from entropy_flows.params import Params

CheckName = Literal["eos", "elastic", "phonons", "enthalpy", "stability", "vacancy", "surfaces"]
CHECKS: tuple[CheckName, ...] = ("eos", "elastic", "phonons", "enthalpy", "stability")
"""Checks that are made unless others are named: of any crystal, elements and compounds."""


class PhysicsParams(Params):
    """The checks of a potential; relaxations keep the phase's symmetry."""

    renamed: ClassVar[dict[str, str]] = {"min_distance": "min_distance_fraction"}

    checks: tuple[CheckName, ...] = Field(CHECKS, min_length=1)
    """Names of the checks to make."""
    phases: tuple[str, ...] | None = None
    """Names of the campaign's phases; None takes all."""
    fmax: float = Field(0.005, gt=0)
    """Largest force (eV/Å), and virial per degree of freedom (eV), of a relaxed cell."""
    max_steps: int = Field(300, ge=1)
    """Number of steps of a relaxation at most."""
    volume_strain: float = Field(0.06, gt=0, lt=0.5)
    """Half width of the equation of state's window in volume, as a fraction."""
    volumes: int = Field(9, ge=5)
    """Number of energies in that window."""
    strain: float = Field(0.01, gt=0, le=0.05)
    """Largest strain of the elastic constants, normal and shear. Half of it, and both signs, are
    used too.
    """
    displacement: float = Field(0.01, gt=0, le=0.2)
    """Displacement of an atom for the phonons (Å)."""
    supercell_length: float = Field(10.0, gt=0)
    """Least distance between an atom and its images in the supercell of phonons and vacancies
    (Å).
    """
    defect_fmax: float = Field(0.02, gt=0)
    """Largest force (eV/Å) of a relaxed vacancy or slab."""
    surfaces: tuple[tuple[int, int, int], ...] = Field(
        ((1, 0, 0), (1, 1, 0), (1, 1, 1)), min_length=1
    )
    """Miller indices of the surfaces, in the conventional cell."""
    slab_thickness: float = Field(10.0, gt=0)
    """Least thickness of a slab, and of the empty space beside it (Å)."""
    pressures: tuple[Annotated[float, Field(ge=-50, le=10_000)], ...] | None = Field(
        None, min_length=2
    )
    """Pressures of the enthalpies (GPa). None takes nine, from 0 to the highest of the
    exploration's grid.
    """
    temperature: float | None = Field(None, gt=0)
    """Temperature of the dynamics (K); None takes the highest of the exploration's grid."""
    pressure: float | None = Field(None, ge=-50, le=10_000)
    """Pressure (GPa) at which the cell is relaxed before the dynamics. None takes the highest of
    the exploration's grid.
    """
    steps: int = Field(2000, ge=100)
    """Number of steps of the dynamics."""
    timestep: float = Field(1.0, gt=0, le=10)
    """Time step (fs)."""
    friction: float = Field(0.01, gt=0)
    """Langevin friction (1/fs)."""
    min_distance_fraction: float = Field(0.55, gt=0, lt=1)
    """Shortest distance in the dynamics under which it has collapsed, as a fraction of the sum of
    covalent radii.
    """
    seed: int = Field(42, ge=0)
    """Seed of the dynamics' random numbers."""

    @field_validator("pressures")
    @classmethod
    def _rising(cls, pressures: tuple[float, ...] | None) -> tuple[float, ...] | None:
        """Refuse pressures that do not rise."""
        if pressures is not None and list(pressures) != sorted(set(pressures)):
            named = ", ".join(f"{pressure:g}" for pressure in pressures)
            raise ValueError(f"pressures {named} must rise from one to the next")
        return pressures
