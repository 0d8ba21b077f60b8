"""Fingerprints: one vector per atom, and its adjoint."""

from entropy_flows.fingerprints.base import (
    EigenvalueSpectra,
    Fingerprint,
    FingerprintBase,
    FingerprintSettings,
    Pullback,
)
from entropy_flows.fingerprints.bispectrum import Bispectrum, BispectrumParams
from entropy_flows.fingerprints.gom import GOM, GOMParams
from entropy_flows.fingerprints.kinds import FINGERPRINTS, FingerprintParams, make_fingerprint

__all__ = [
    "FINGERPRINTS",
    "GOM",
    "Bispectrum",
    "BispectrumParams",
    "EigenvalueSpectra",
    "Fingerprint",
    "FingerprintBase",
    "FingerprintParams",
    "FingerprintSettings",
    "GOMParams",
    "Pullback",
    "make_fingerprint",
]
