"""Fingerprints: one vector per atom, and its adjoint."""

from entropy_flows.fingerprints.base import Fingerprint, Pullback, Spectra
from entropy_flows.fingerprints.gom import GOM, GOMParams

__all__ = ["GOM", "Fingerprint", "GOMParams", "Pullback", "Spectra"]
