"""The family of MatGL: TensorNet, M3GNet and its other potentials."""

from __future__ import annotations

from entropy_flows.environments.foreign import adapter_file
from entropy_flows.potentials.adapted import AdaptedFamily
from entropy_flows.potentials.base import Environment

PUBLISHED = ("tensornet-", "m3gnet-", "qet-")
"""Beginnings, in small letters, of the names of potentials that MatGL fetches."""


class MatglFamily(AdaptedFamily):
    """MatGL's potentials."""

    name = "matgl"
    suffixes = (".matgl.zip",)
    environment = Environment(
        ("matgl",),
        "MatGL",
        "entropy-flows environment create matgl, and {name: …, environment: matgl} in the campaign",
        distributions=("matgl",),
    )
    adapter = adapter_file("matgl")

    def describe_names(self) -> str:
        """Describe the names of archives and of published potentials."""
        return (
            f"{super().describe_names()}, a name of MatGL's that begins with TensorNet- or M3GNet-"
        )

    def recognizes(self, name: str) -> bool:
        """Return whether it is an archive, or written as MatGL's published potentials are."""
        return self.is_file(name) or (name.lower().startswith(PUBLISHED) and "/" not in name)

    def canonical_name(self, name: str) -> str:
        """Return the name: MatGL tells capitals and small letters apart."""
        return name

    def network_note(self, name: str) -> str | None:
        """Say where a published potential comes from."""
        if self.is_file(name):
            return None
        return (
            f"MatGL fetches {name} from the Hugging Face Hub; without a network, zip its folder: "
            f"zip -j {name}.matgl.zip model.pt state.pt model.json"
        )
