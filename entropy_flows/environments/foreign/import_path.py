"""Adapter of whatever has an import path: a class or function that gives an ASE calculator."""

from __future__ import annotations

import importlib
import inspect
from typing import Any


def load_calculator(name: str, arguments: dict[str, Any], device: str) -> Any:
    """Call what an import path names, with its arguments, and with the device if it takes one."""
    module, _, attribute = name.rpartition(".")
    factory = getattr(importlib.import_module(module), attribute)
    takes_device = "device" in inspect.signature(factory).parameters
    calculator = factory(**({"device": device, **arguments} if takes_device else arguments))
    if not hasattr(calculator, "get_property"):
        raise ValueError(
            f"'{name}' gives a {type(calculator).__name__}, expected an ASE calculator"
        )
    return calculator
