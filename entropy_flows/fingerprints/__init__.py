"""Fingerprints: one vector per atom, and its adjoint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from entropy_flows.lazy import lazy_names

if TYPE_CHECKING:
    from entropy_flows.fingerprints.base import (
        EigenvalueSpectra,
        Fingerprint,
        FingerprintBase,
        FingerprintSettings,
        Pullback,
    )
    from entropy_flows.fingerprints.bispectrum import Bispectrum
    from entropy_flows.fingerprints.bispectrum_params import BispectrumParams
    from entropy_flows.fingerprints.features import Features
    from entropy_flows.fingerprints.features_params import FeaturesParams
    from entropy_flows.fingerprints.gom import GOM
    from entropy_flows.fingerprints.gom_params import GOMParams
    from entropy_flows.fingerprints.kinds import (
        FINGERPRINTS,
        FingerprintParams,
        check_fingerprint,
        make_fingerprint,
    )
else:
    __getattr__, __dir__ = lazy_names(__name__, __file__)

__all__ = [
    "FINGERPRINTS",
    "GOM",
    "Bispectrum",
    "BispectrumParams",
    "EigenvalueSpectra",
    "Features",
    "FeaturesParams",
    "Fingerprint",
    "FingerprintBase",
    "FingerprintParams",
    "FingerprintSettings",
    "GOMParams",
    "Pullback",
    "check_fingerprint",
    "make_fingerprint",
]
