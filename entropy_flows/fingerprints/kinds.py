"""Which fingerprints there are: a new one is a file of its own, and a line in each of the two tables here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Discriminator, Tag

from entropy_flows.fingerprints.base import FingerprintBase
from entropy_flows.fingerprints.bispectrum import Bispectrum, BispectrumParams
from entropy_flows.fingerprints.gom import GOM, GOMParams

CLASSES: dict[str, type[FingerprintBase]] = {"gom": GOM, "bispectrum": Bispectrum}
"""`kind` → fingerprint; the first is that of settings without a kind."""
DEFAULT = next(iter(CLASSES))


def _without_default(given: Any) -> Any:
    """Take out the kind of the default settings: they have no such field, so that stored ones stay what they were."""
    if isinstance(given, Mapping) and given.get("kind") == DEFAULT:
        return {name: value for name, value in given.items() if name != "kind"}
    return given


def kind_of(given: Any) -> str:
    """Kind of settings, be they read from a file or made already."""
    return (
        given.get("kind", DEFAULT)
        if isinstance(given, Mapping)
        else getattr(given, "kind", DEFAULT)
    )


FingerprintParams = Annotated[
    Annotated[GOMParams, Tag("gom")] | Annotated[BispectrumParams, Tag("bispectrum")],
    Discriminator(
        kind_of,
        custom_error_type="kind",
        custom_error_message=f"unknown kind of fingerprint, expected one of: {', '.join(CLASSES)}",
    ),
    BeforeValidator(_without_default),
]
"""Settings of any fingerprint; `kind` says which, and may be left out for GOM."""


def make_fingerprint(params: GOMParams | BispectrumParams) -> FingerprintBase:
    """The fingerprint of these settings.

    Raises
    ------
    ValueError
        If they do not hold together.
    """
    return CLASSES[kind_of(params)](**dict(params))
