"""Electronic structure through ASE's calculators as label engines: GPAW, Quantum ESPRESSO."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import Field

from entropy_flows.label.engines.maker import MakerEngine
from entropy_flows.label.engines.vasp import SPIN_OPTION, usual_moments
from entropy_flows.label.params import LabelParams
from entropy_flows.label.reasons import EngineError

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from entropy_flows.label.ase_static import AseStaticMaker
    from entropy_flows.label.read import Label


class AseStaticParams(LabelParams):
    """Plane waves, pseudopotentials and PBE without a licence."""

    kpoint_length: float = Field(40.0, gt=0)
    """Length ℓ of the k-point rule (Å)."""
    cutoff: float = Field(600.0, gt=0)
    """Plane-wave cutoff (eV)."""
    smearing: float = Field(0.05, gt=0)
    """Gaussian smearing (eV)."""
    walltime: float | None = Field(None, gt=0)
    """Time after which a calculation is given up (s)."""
    spin: bool = False
    """Whether the calculation is spin-polarised, from the moments of the cell; see
    `phases.magmoms`."""
    calculator_kwargs: dict[str, Any] = Field(default_factory=dict)
    """Arguments of the program's calculator in ASE, on top of the preset."""

    def maker_fields(self) -> dict[str, Any]:
        """Return the keys that are this engine's own, as fields of its Maker."""
        return self.model_dump(exclude=set(LabelParams.model_fields))


class AseStaticEngine(MakerEngine):
    """A program that takes minutes a label, so it is no engine in memory.

    Its calculator is not handed out: a relaxation with it takes hours, and belongs on a worker of
    its own.
    """

    maker: AseStaticMaker
    spin_option = SPIN_OPTION

    @property
    def has_spin(self) -> bool | None:
        """The Maker's `spin`."""
        return self.maker.spin

    def moment_table(self) -> dict[str, float] | None:
        """Return the moments of VASP's presets: these programs have no tables of their own."""
        return usual_moments() if self.has_spin else None

    @property
    def name(self) -> str:
        """The program and the functional."""
        return self.maker.engine_name

    def hash_input(self) -> dict[str, Any]:
        """Return the program's parameters, its version where that counts, and its setups."""
        return self.maker.deciding_parameters()

    def provenance(self) -> dict[str, Any]:
        """Return the engine's name and all that decides its numbers."""
        return {**super().provenance(), "engine_settings": self.hash_input()}

    def validate(self, label: Label) -> Label:
        """Return the label with the version of the program that has run, and the cell's moment."""
        calculator = self.maker.calculator
        return replace(
            label,
            total_magmom=calculator.results.get("magmom") if label.converged else None,
            provenance={**label.provenance, "version": getattr(calculator, "version", None)},
        )

    def check(self, cells: Mapping[str, Structure]) -> None:
        """Look for the setups of the cells' elements."""
        for name, cell in cells.items():
            for symbol in cell.symbol_set:
                if (fault := self.maker.missing_element(symbol)) is not None:
                    raise EngineError(f"{self.name} cannot calculate {name!r}: {fault}")

    def missing_here(self) -> str | None:
        """Return which program this machine lacks."""
        return self.maker.missing_here()
