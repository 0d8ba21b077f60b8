"""Models of a family in an environment of their own, as if they were loaded here."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from entropy_flows.environments.locate import ModelEnvironment, find_environment
from entropy_flows.faults import MachineError
from entropy_flows.potentials.adapted import batch_arrays, evaluation
from entropy_flows.potentials.base import BatchModel, ModelFamily

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

    from entropy_flows.batch import Batch
    from entropy_flows.environments.process import ModelProcess
    from entropy_flows.potentials.base import Evaluation


class FamilyInEnvironment(ModelFamily):
    """A family whose models are loaded by the Python of an environment.

    Parameters
    ----------
    family
        The family.
    environment
        Name or path of the environment. It is looked up when a model is loaded or checked.
    """

    may_be_kept = False  # its process ends with the job

    def __init__(self, family: ModelFamily, environment: str) -> None:
        self.family = family
        self.environment_name = environment
        self.name = family.name
        self.suffixes = family.suffixes
        self.trainer = family.trainer

    def describe_names(self) -> str:
        """Describe the family's names."""
        return self.family.describe_names()

    def recognizes(self, name: str) -> bool:
        """Return whether the family recognizes a name."""
        return self.family.recognizes(name)

    def is_file(self, name: str) -> bool:
        """Return whether a name is that of a file."""
        return self.family.is_file(name)

    def load_calculator(self, name: str, arguments: Mapping[str, Any], device: str) -> Calculator:
        """Load a model's calculator in the environment."""
        from entropy_flows.potentials.onebyone import BatchOfOne

        return BatchOfOne(self._load("calculator", name, arguments, device))

    def load_batch_model(self, name: str, arguments: Mapping[str, Any], device: str) -> BatchModel:
        """Load a model of many cells in the environment."""
        return self._load("batch", name, arguments, device)

    def check(self, name: str, arguments: Mapping[str, Any]) -> None:
        """Refuse a name that the family refuses, and a family without an adapter."""
        self.family.check(name, arguments)
        self._adapter()

    def elements(self, name: str, arguments: Mapping[str, Any]) -> tuple[str, ...] | None:
        """Read a model's elements if the packages that this takes are here as well."""
        if not self.family.environment.is_complete:
            return None
        return self.family.elements(name, arguments)

    def canonical_name(self, name: str) -> str:
        """Return the one spelling of a name."""
        return self.family.canonical_name(name)

    def network_note(self, name: str) -> str | None:
        """Return what to do where the network that this model needs is missing."""
        return self.family.network_note(name)

    def locate(self) -> ModelEnvironment:
        """Find the environment on this machine.

        Raises
        ------
        ValueError
            If it is not there, or has no Python.
        """
        return find_environment(self.environment_name)

    def _adapter(self) -> Path:
        if self.family.adapter is None:
            raise ValueError(
                f"models of the family {self.name} are loaded here only: leave `environment` out"
            )
        return self.family.adapter

    def _load(
        self, form: str, name: str, arguments: Mapping[str, Any], device: str
    ) -> EnvironmentModel:
        from entropy_flows.environments.process import model_process

        path = Path(name).expanduser()
        if path.is_file():
            name = str(path.resolve())
        elif self.is_file(name):
            raise FileNotFoundError(f"model file {path} does not exist")
        else:
            name = self.family.program_name(name)
        try:
            process = model_process(self.locate())
        except ValueError as error:  # it may be there on another machine
            raise MachineError(str(error)) from error
        number, facts = process.load(self._adapter(), form, name, arguments, device)
        return EnvironmentModel(process, number, facts, device)


class EnvironmentModel:
    """A model of many cells in the process of an environment.

    Parameters
    ----------
    process
        The process that has loaded it.
    number
        Number of the model in the process.
    facts
        What the process says of it: `cutoff`, and whether it gives a `stress`.
    device
        Device of the batches made for it. Arrays go to the process by way of the CPU.
    """

    def __init__(
        self, process: ModelProcess, number: int, facts: Mapping[str, Any], device: str
    ) -> None:
        self.device = device
        self.process = process
        self.cutoff: float | None = facts["cutoff"]
        self._number = number
        self._has_stress: bool = facts["stress"]
        weakref.finalize(self, process.drop, number)

    def __call__(self, batch: Batch) -> Evaluation:
        """Evaluate all cells.

        Raises
        ------
        RefusalError
            If the model refuses them.
        MachineError
            If the process fails for a reason of the machine, or is lost again and again.
        """
        arrays = batch_arrays(batch, self.cutoff)
        return evaluation(self.process.evaluate(self._number, arrays, self._has_stress), batch)
