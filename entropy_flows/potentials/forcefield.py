"""The family of atomate2's force fields, by the names that atomate2 has for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from entropy_flows.potentials.base import ModelFamily
from entropy_flows.potentials.scope import default_dtype

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

WITHOUT_MODEL = {"Forcefield", "GAP", "NEP", "DeepMD", "Nequip", "Allegro"}
"""Names of atomate2's that stand for a kind of model and not for one, which is a file."""


class ForceFieldFamily(ModelFamily):
    """Models that atomate2 loads by name; their packages have to be installed."""

    name = "forcefield"

    def describe_names(self) -> str:
        """List the names."""
        return f"one of atomate2's force fields: {', '.join(forcefield_names())}"

    def recognizes(self, name: str) -> bool:
        """Return whether atomate2 has a force field of this name."""
        return name in forcefield_names()

    def load_calculator(self, name: str, arguments: Mapping[str, Any], device: str) -> Calculator:
        """Load a force field's calculator, which picks its device itself."""
        from atomate2.forcefields.jobs import ForceFieldStaticMaker

        with default_dtype("float32"):
            maker = ForceFieldStaticMaker(force_field_name=name, calculator_kwargs=dict(arguments))
            try:
                return maker.calculator
            except ImportError as error:
                raise ValueError(
                    f"force field '{name}' of atomate2 needs a package that is missing: {error}"
                ) from error


def forcefield_names() -> tuple[str, ...]:
    """Return the names of atomate2's force fields that stand for one model."""
    from atomate2.forcefields import MLFF

    return tuple(str(member.value) for member in MLFF if member.value not in WITHOUT_MODEL)
