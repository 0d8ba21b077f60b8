"""The family of metatomic: models that metatrain exports, such as PET."""

from __future__ import annotations

from entropy_flows.environments.foreign import adapter_file
from entropy_flows.potentials.adapted import AdaptedFamily
from entropy_flows.potentials.base import Environment


class MetatomicFamily(AdaptedFamily):
    """Models exported by `mtt train` or `mtt export`.

    Such a file may have any name that ends in `.pt`; it is called `*.metatomic.pt` here, or its
    family is named: `{name: pet-mad.pt, family: metatomic}`.
    """

    name = "metatomic"
    suffixes = (".metatomic.pt",)
    environment = Environment(
        ("metatomic_ase",),
        "metatomic",
        "entropy-flows environment create metatrain, and {name: …, environment: metatrain} in the "
        "campaign",
        distributions=("metatomic-torch",),
    )
    adapter = adapter_file("metatomic")
