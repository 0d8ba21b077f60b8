"""The family of import paths: what they name makes an ASE calculator or a torch-sim model."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from entropy_flows.environments.foreign import adapter_file
from entropy_flows.potentials.base import BatchModel, ModelFamily
from entropy_flows.potentials.onebyone import OneByOne

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator


class ImportPathFamily(ModelFamily):
    """Models that a class or function makes, called with the arguments given, and the device."""

    name = "import-path"
    may_be_kept = False
    adapter = adapter_file("import_path")

    def describe_names(self) -> str:
        """Describe the import path of a class."""
        return "an import path of an ASE calculator class"

    def recognizes(self, name: str) -> bool:
        """Return whether a name can be imported.

        A class is capitalised, a file's suffix is not; a function needs a module that is there.
        """
        words = name.split(".")
        if len(words) < 2 or not all(word.isidentifier() for word in words):
            return False
        return not words[-1].islower() or importlib.util.find_spec(words[0]) is not None

    def load_calculator(self, name: str, arguments: Mapping[str, Any], device: str) -> Calculator:
        """Make an ASE calculator."""
        calculator = call_import_path(name, arguments, device)
        if not hasattr(calculator, "get_property"):
            raise ValueError(
                f"model '{name}' gives a {type(calculator).__name__}, expected an ASE calculator"
            )
        return calculator

    def load_batch_model(self, name: str, arguments: Mapping[str, Any], device: str) -> BatchModel:
        """Make a torch-sim model, or an ASE calculator that is called cell after cell."""
        from entropy_flows.potentials.torchsim import TorchSimModel, is_torchsim

        model = call_import_path(name, arguments, device)
        if is_torchsim(model):
            return TorchSimModel(model)
        if not hasattr(model, "get_property"):
            raise ValueError(
                f"model '{name}' gives a {type(model).__name__}, "
                "expected an ASE calculator or a model of torch-sim"
            )
        return OneByOne(model, device)


def call_import_path(name: str, arguments: Mapping[str, Any], device: str) -> Any:
    """Call what an import path names, with its arguments, and with the device if it takes one."""
    module, _, attribute = name.rpartition(".")
    try:
        factory = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f"model '{name}' cannot be imported as an ASE calculator class: {error}"
        ) from error
    if not callable(factory):
        raise ValueError(
            f"model '{name}' is a {type(factory).__name__}, expected a class or a function"
        )
    takes_device = "device" in inspect.signature(factory).parameters
    keywords = {"device": device, **arguments} if takes_device else dict(arguments)
    try:
        return factory(**keywords)
    except TypeError as error:
        raise ValueError(
            f"model '{name}' cannot be made with {dict(arguments) or 'no arguments'}: {error}"
        ) from error
