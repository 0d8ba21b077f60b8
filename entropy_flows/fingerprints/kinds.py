"""The fingerprints there are, and sections of a campaign file that name one of them."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, SerializeAsAny

from entropy_flows.fingerprints.base import FingerprintBase, FingerprintSettings
from entropy_flows.plugins import ExtensionPoint

FINGERPRINTS = ExtensionPoint(
    noun="fingerprint",
    group="entropy_flows.fingerprints",
    base=FingerprintBase,
    builtin={
        "gom": "entropy_flows.fingerprints.gom:GOM",
        "bispectrum": "entropy_flows.fingerprints.bispectrum:Bispectrum",
        "features": "entropy_flows.fingerprints.features:Features",
    },
    key="kind",
    params={
        "gom": "entropy_flows.fingerprints.gom_params:GOMParams",
        "bispectrum": "entropy_flows.fingerprints.bispectrum_params:BispectrumParams",
        "features": "entropy_flows.fingerprints.features_params:FeaturesParams",
    },
)
"""Where packages add fingerprints; each is a subclass of `FingerprintBase`."""

FingerprintParams = Annotated[
    SerializeAsAny[FingerprintSettings], BeforeValidator(FINGERPRINTS.validate)
]
"""Parameters of any fingerprint; `kind` says which, and may be left out for GOM."""


def check_fingerprint(params: FingerprintSettings) -> None:
    """Refuse parameters that do not hold together; this package's own import no numerics for it.

    Raises
    ------
    ValueError
        As of `make_fingerprint`.
    """
    if FINGERPRINTS.name_of(params) in FINGERPRINTS.params:
        type(params)(**dict(params))
    else:
        make_fingerprint(params)


def make_fingerprint(params: FingerprintSettings) -> FingerprintBase:
    """Return the fingerprint of these parameters.

    Raises
    ------
    ValueError
        If they do not hold together.
    """
    fingerprint: type[FingerprintBase] = FINGERPRINTS.resolve(FINGERPRINTS.name_of(params))
    return fingerprint(**dict(params))
