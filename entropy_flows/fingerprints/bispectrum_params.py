"""Parameters of the bispectrum fingerprint, which are read without what it is computed with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self

from ase.data import atomic_numbers
from pydantic import Field, field_validator, model_validator

from entropy_flows.fingerprints.base import FingerprintSettings, ordered_elements


class BispectrumParams(FingerprintSettings):
    """Settings of a bispectrum fingerprint."""

    kind: Literal["bispectrum"] = "bispectrum"
    """What tells these settings from another fingerprint's."""
    cutoff: float = Field(default=4.73442, gt=0, le=12)
    """r_c in Å of a pair whose radii add up to 1: SNAP's rcutfac."""
    twojmax: int = Field(default=8, ge=1, le=14)
    """2J_max."""
    rfac0: float = Field(default=0.99363, gt=0, lt=1)
    """Share of the sphere."""
    elements: tuple[str, ...] | None = None
    """Species of the data set, in any order. None: whatever one species a cell has."""
    radii: dict[str, float] | None = None
    """R by symbol, in units of the cutoff. None: ½ each."""
    weights: dict[str, float] | None = None
    """w by symbol. None: 1, for a data set of one element."""

    _order_elements = field_validator("elements")(ordered_elements)

    @model_validator(mode="after")
    def _check_tables(self) -> Self:
        for name, table in (("radius", self.radii), ("weight", self.weights)):
            for symbol, value in (table or {}).items():
                if symbol not in atomic_numbers or not value > 0:
                    raise ValueError(
                        f"{name} {value} of '{symbol}': expected a positive number of a known "
                        "element"
                    )
        self.tabulated(self.elements or ())
        return self

    def tabulated(self, symbols: Sequence[str]) -> tuple[list[float], list[float]]:
        """Radius and weight of each atom.

        Raises
        ------
        ValueError
            If an element is not this data set's, or has no number, or several are not told apart.
        """
        species = sorted(set(symbols))
        if strange := [
            symbol for symbol in species if self.elements and symbol not in self.elements
        ]:
            raise ValueError(
                f"element '{strange[0]}' is not among the elements "
                f"({', '.join(self.elements or ())})"
            )
        if len(species) > 1 and self.weights is None:
            raise ValueError(
                f"{', '.join(species)} are all alike to a bispectrum without weights: "
                "give weights={symbol: number}"
            )
        for name, table in (("radii", self.radii), ("weights", self.weights)):
            if missing := [
                symbol for symbol in species if table is not None and symbol not in table
            ]:
                raise ValueError(
                    f"no number for element '{missing[0]}': {name} has {', '.join(table or ())}"
                )
        radii = [0.5 if self.radii is None else self.radii[symbol] for symbol in symbols]
        return radii, [1.0 if self.weights is None else self.weights[symbol] for symbol in symbols]
