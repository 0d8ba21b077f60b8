"""The family of MACE: its files, and the foundation models that it knows by name.

MACE needs e3nn 0.4.4, which NequIP and SevenNet do not take: its models are loaded and trained in
an environment of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from entropy_flows.environments.foreign import adapter_file
from entropy_flows.potentials.adapted import AdaptedFamily
from entropy_flows.potentials.base import Environment
from entropy_flows.spelling import unknown

FILE_SUFFIX = ".model"
FOUNDATION = {
    "mace-mp-0-small": "small",
    "mace-mp-0-medium": "medium",
    "mace-mp-0-large": "large",
    "mace-mp-0b3": "medium-0b3",
    "mace-mpa-0": "medium-mpa-0",
    "mace-omat-0-small": "small-omat-0",
    "mace-omat-0": "medium-omat-0",
    "mace-matpes-pbe-0": "mace-matpes-pbe-0",
    "mace-matpes-r2scan-0": "mace-matpes-r2scan-0",
}
"""Names of published models, in small letters → MACE's own names of them."""


class MaceFamily(AdaptedFamily):
    """MACE's models."""

    name = "mace"
    suffixes = (FILE_SUFFIX,)
    trainer = "mace"
    environment = Environment(
        ("mace",),
        "MACE",
        "entropy-flows environment create mace, and {name: …, environment: mace} in the campaign",
        distributions=("mace-torch",),
    )
    adapter = adapter_file("mace")

    def describe_names(self) -> str:
        """Describe the names of files and of published models."""
        return f"{super().describe_names()}, a MACE name such as 'MACE-MPA-0'"

    def recognizes(self, name: str) -> bool:
        """Return whether it is a file of MACE's, or written as its published models are."""
        return self.is_file(name) or _is_published(name)

    def check(self, name: str, arguments: Mapping[str, Any]) -> None:
        """Refuse a published name that MACE does not have."""
        if not self.is_file(name) and name.lower() not in FOUNDATION:
            raise ValueError(unknown("model of MACE's", name.lower(), list(FOUNDATION)))

    def program_name(self, name: str) -> str:
        """Return MACE's own name of a published model."""
        return FOUNDATION.get(name.lower(), name)

    def network_note(self, name: str) -> str | None:
        """Say where the file of a published model comes from."""
        if self.is_file(name):
            return None
        return (
            f"MACE fetches {name} from GitHub when it is first loaded, into ~/.cache/mace; "
            "without a network give the path of its .model file"
        )


def _is_published(name: str) -> bool:
    return name.lower().startswith("mace-") and "/" not in name
