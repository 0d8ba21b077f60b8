"""A teacher in an environment of its own: its labels come from another Python."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from entropy_flows.digest import file_sha256
from entropy_flows.environments import find_environment
from entropy_flows.environments.packages import environment_packages, package_version
from entropy_flows.label.engines.forcefield import ForceFieldEngine
from entropy_flows.potentials import environment_of, find_model, load_calculator, split_model
from entropy_flows.potentials.families import without_environment
from entropy_flows.potentials.in_environment import FamilyInEnvironment
from entropy_flows.settings import settings

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator


def model_calculator(model: str) -> Calculator:
    """Load a model's calculator on this machine's device; atomate2's Maker calls this."""
    return load_calculator(model, settings().device)


CALCULATOR = f"{model_calculator.__module__}.{model_calculator.__name__}"
"""Name of the function, as atomate2 keeps it in a Maker."""


class EnvironmentEngine(ForceFieldEngine):
    """atomate2's Maker of a model in an environment of its own."""

    @staticmethod
    def runs(maker: Any) -> bool:
        """Return whether a Maker's calculator is a model's of an environment."""
        return getattr(maker, "calculator_meta", None) == CALCULATOR

    @property
    def model(self) -> str:
        """Name of the model, with its environment."""
        return str(self.calculator_kwargs["model"])

    @property
    def name(self) -> str:
        """Name of the model, such as "MACE-MP-0 (teacher, not DFT)"."""
        return f"{Path(split_model(self.model)[0]).name} (teacher, not DFT)"

    def hash_input(self) -> dict[str, Any]:
        """Return the model and the versions of what computes it; its environment's name is none."""
        family, name, arguments = find_model(self.model)
        is_file = Path(name).is_file()
        return {
            "code": family.name,
            "model": file_sha256(name) if is_file else family.canonical_name(name),
            "arguments": arguments,
            "versions": self._versions(),
        }

    def provenance(self) -> dict[str, Any]:
        """Return the engine's name, and the versions of what computes its labels."""
        return {**super().provenance(), "environment": self._versions()}

    def missing_here(self) -> str | None:
        """Return why the environment cannot be used on this machine; None if it can."""
        try:
            find_environment(str(environment_of(self.model)))
        except ValueError as error:
            return str(error)
        return None

    def models(self) -> list[str]:
        """Return the model, without its environment."""
        return [without_environment(self.model)]

    def _versions(self) -> dict[str, str | None]:
        """Return the versions of Python, of torch and of the family's packages."""
        family = find_model(self.model).family
        assert isinstance(family, FamilyInEnvironment), "the model names an environment"
        facts = environment_packages(family.locate())
        names = ("torch", *family.family.environment.distributions)
        return {"python": facts["python"]} | {
            name: package_version(facts["packages"], name) for name in names
        }
