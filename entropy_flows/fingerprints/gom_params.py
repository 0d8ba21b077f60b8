"""Parameters of the GOM fingerprint, which are read without what it is computed with."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from ase.data import atomic_numbers, covalent_radii
from pydantic import Field, field_validator, model_validator

from entropy_flows.fingerprints.base import FingerprintSettings, ordered_elements


class GOMParams(FingerprintSettings):
    """Settings of a GOM fingerprint."""

    cutoff: float = Field(default=4.5, gt=0, le=20)
    """r_c in Å: 3.0 for the local entropy, 4.5 for the global one."""
    natx: int = Field(default=200, ge=1)
    """Eigenvalues kept per matrix."""
    exponent: float = Field(default=2.0, ge=1)
    """p of the cutoff function; forces are continuous at the cutoff for p > 1."""
    overlap: Literal["paper", "normalized"] = "paper"
    """Overlap of unit-amplitude or of normalised Gaussians; the latter has ones on its diagonal."""
    species: Literal["pairs", "center", "single"] = "pairs"
    """Which members a matrix has; several matrices are concatenated in order of atomic number.

    "pairs": for each s ≤ t, the members of species s or t. "center": for each t, the centre and the
    members of species t. "single": one matrix of all members. In "pairs" the centre is a member
    like any other: it is in the matrix only if its own species is s or t.
    """
    elements: tuple[str, ...] | None = None
    """Species of the data set, in any order. None: each cell's own, which is safe for one set of
    species only.
    """
    radii: dict[str, float] | None = None
    """Covalent radii in Å by symbol; None: ASE's table."""
    scale: tuple[Annotated[float, Field(gt=0)], ...] | None = None
    """What each component, or each matrix's whole spectrum, is divided by; see `scale`. None:
    raw, as in Wang 2026.
    """
    device: str = "cpu"
    """Torch device of the eigenvalue problems."""

    _order_elements = field_validator("elements")(ordered_elements)

    @model_validator(mode="after")
    def _check_radii(self) -> Self:
        for symbol, radius in (self.radii or {}).items():
            if symbol not in atomic_numbers or not radius > 0:
                raise ValueError(
                    f"radius {radius} of '{symbol}': radii must be positive lengths in Å of known "
                    "elements"
                )
        for symbol in self.elements or ():
            self.radius(symbol)
        return self

    def radius(self, symbol: str) -> float:
        """Covalent radius of an element in Å."""
        if self.radii is not None:
            if symbol not in self.radii:
                raise ValueError(
                    f"no radius for element '{symbol}': radii has {', '.join(self.radii)}"
                )
            return self.radii[symbol]
        radius = float(covalent_radii[atomic_numbers[symbol]])
        if radius == covalent_radii[0]:  # ASE's placeholder for an element without data
            raise ValueError(
                f"no tabulated covalent radius for element '{symbol}': give one in radii"
            )
        return radius
