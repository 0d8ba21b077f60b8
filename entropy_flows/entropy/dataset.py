"""What the covariance of a data set is over."""

from __future__ import annotations

from pydantic import Field

from entropy_flows.fingerprints import FingerprintParams, GOMParams
from entropy_flows.params import Params


class DatasetParams(Params):
    """Global fingerprint and regularisation; statistics of different settings do not mix."""

    fingerprint: FingerprintParams = GOMParams(cutoff=4.5, natx=200)
    """Fingerprint (Wang 2026: r_c = 4.5 Å, d = 200), with the elements that fix its block order."""
    regularization: float = Field(1e-3, gt=0)
    """λ of the covariance (Eq. 4)."""
