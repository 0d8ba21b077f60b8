"""The family of CHGNet: the models in its wheel, by name, and files of its training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ase.data import chemical_symbols

from entropy_flows.environments.foreign import adapter_file
from entropy_flows.potentials.adapted import AdaptedFamily
from entropy_flows.potentials.base import Environment

IN_WHEEL = {
    "chgnet": "0.3.0",
    "chgnet-0.3.0": "0.3.0",
    "chgnet-0.2.0": "0.2.0",
    "chgnet-r2scan": "r2scan",
}
"""Names of the models, in small letters → CHGNet's own names of them."""
LAST = 94
"""Atomic number of the last element that it knows."""


class ChgnetFamily(AdaptedFamily):
    """CHGNet's models."""

    name = "chgnet"
    suffixes = (".pth.tar",)
    environment = Environment(
        ("chgnet",),
        "CHGNet",
        "pip install chgnet, or entropy-flows environment create chgnet and "
        "{name: …, environment: chgnet} in the campaign",
        distributions=("chgnet",),
    )
    adapter = adapter_file("chgnet")

    def describe_names(self) -> str:
        """Describe the names of its models."""
        return "CHGNet, CHGNet-r2SCAN or the path of a .pth.tar file of CHGNet"

    def recognizes(self, name: str) -> bool:
        """Return whether it is one of the models in the wheel, or a file's name."""
        return name.lower() in IN_WHEEL or self.is_file(name)

    def elements(self, name: str, arguments: Mapping[str, Any]) -> tuple[str, ...] | None:
        """Return the elements of all its models."""
        return tuple(chemical_symbols[1 : LAST + 1])

    def canonical_name(self, name: str) -> str:
        """Return the name of a model with its version, but for that of the present one."""
        return "chgnet" if self.program_name(name) == IN_WHEEL["chgnet"] else name.lower()

    def program_name(self, name: str) -> str:
        """Return CHGNet's own name of a model."""
        return IN_WHEEL.get(name.lower(), name)
