"""Mean posterior variance over a target, from sufficient statistics.

A Gaussian process with the features φ of `basis` learns one number of each cell. What it does not
know of a target distribution after it has seen the data set D is

    A    = 1 + Σ_{c ∈ D} (w_c / σ²) φ_c φ_cᵀ                                                     (1)
    T    = Σ_t w_t φ_t φ_tᵀ / Σ_t w_t                                                            (2)
    V(D) = tr(A⁻¹ T) + (1 − tr T)                                                                (3)

V is 1 where nothing is known; 1 − tr T is what the landmarks cannot see. A cell's gain is what it
takes off V whatever its label will be (Sherman and Morrison), with P = A⁻¹:

    V(D) − V(D ∪ c) = φᵀ P T P φ / (σ²/w_c + φᵀ P φ)  ≥  0                                       (4)
    ∂gain/∂φ = 2 (P T P φ − gain · P φ) / (σ²/w_c + φᵀ P φ)                                      (5)

Adding a cell changes, with y = P φ / √(σ²/w_c + φᵀ P φ) and z = P T y,

    P ← P − y yᵀ,        P T P ← P T P − y zᵀ − z yᵀ + (yᵀ T y) y yᵀ                             (6)

=======  ==========================================================================================
symbol   meaning
=======  ==========================================================================================
φ_c      features (m,) of a cell
w_c      weight of a cell: its number of atoms over the mean one where forces are learned, else 1
σ²       `noise`, variance of a label of weight 1 in units of the prior's
=======  ==========================================================================================

(Cohn, Neural Netw. 9, 1071, 1996, for the criterion; it is V- or I-optimal design.)
"""

from __future__ import annotations

import numpy as np

from entropy_flows.conventions import Array


class TargetVariance:
    """The variance that a data set leaves of a target, in a basis of m features.

    Parameters
    ----------
    target
        φ_t (n, m) of the target's cells.
    noise
        σ² > 0.
    weights
        w_t (n,); None weighs all alike.

    Attributes
    ----------
    precision
        A (m, m).
    covariance
        P (m, m).
    target
        T (m, m).

    Raises
    ------
    ValueError
        If the target has no cells, or the noise is not positive.
    """

    def __init__(self, target: Array, noise: float, weights: Array | None = None) -> None:
        if not len(target):
            raise ValueError("the target has no cells; it needs at least one")
        if not noise > 0:
            raise ValueError(f"noise is {noise}, expected a positive number")
        shares = np.ones(len(target)) if weights is None else np.asarray(weights, float)
        shares = shares / shares.sum()
        dim = target.shape[1]
        self.noise = noise
        self.target: Array = (target * shares[:, None]).T @ target
        self.precision: Array = np.eye(dim)
        self.covariance: Array = np.eye(dim)
        self._weighted: Array = self.target.copy()
        """P T P."""

    def value(self) -> float:
        """Return V, equation (3): between 0 and 1, small where the target is known."""
        seen = np.einsum("ij,ji->", self.covariance, self.target)
        return float(seen + 1 - np.trace(self.target))

    def gains(self, features: Array, weights: Array | float = 1.0) -> Array:
        """Return the gains (n,) of adding cells with features (n, m), each alone, equation (4)."""
        return self.numerators(features) / self.denominators(features, weights)

    def numerators(self, features: Array) -> Array:
        """Return φᵀ P T P φ (n,) of cells with features (n, m)."""
        numerators = np.einsum("nm,nm->n", features @ self._weighted, features)
        return np.maximum(numerators, 0.0)

    def denominators(self, features: Array, weights: Array | float = 1.0) -> Array:
        """Return σ²/w + φᵀ P φ (n,) of cells with features (n, m)."""
        variances = np.einsum("nm,nm->n", features @ self.covariance, features)
        return self.noise / np.asarray(weights) + np.maximum(variances, 0.0)

    def gradient(self, feature: Array, weight: float = 1.0) -> Array:
        """Return ∂gain/∂φ (m,) of one cell, equation (5)."""
        projected = self.covariance @ feature
        pulled = self._weighted @ feature
        denominator = self.noise / weight + feature @ projected
        gain = feature @ pulled / denominator
        return 2 * (pulled - gain * projected) / denominator

    def add(self, feature: Array, weight: float = 1.0) -> tuple[Array, Array, float]:
        """Add one cell with features (m,) in place.

        Returns
        -------
        tuple
            y (m,), z (m,) and yᵀ T y of equation (6), from which gains of others follow.
        """
        projected = self.covariance @ feature
        y = projected / np.sqrt(self.noise / weight + feature @ projected)
        z = self.covariance @ (self.target @ y)
        square = float(y @ self.target @ y)
        self.precision += weight / self.noise * np.outer(feature, feature)
        self.covariance -= np.outer(y, y)
        cross = np.outer(y, z)
        self._weighted += square * np.outer(y, y) - cross - cross.T
        return y, z, square

    def add_all(self, features: Array, weights: Array | float = 1.0) -> None:
        """Add cells with features (n, m) at once: A is a sum, and inverted anew."""
        scaled = features * (np.broadcast_to(weights, len(features)) / self.noise)[:, None]
        self.precision += scaled.T @ features
        inverse = np.asarray(np.linalg.inv(self.precision), dtype=np.float64)
        self.covariance = 0.5 * (inverse + inverse.T)
        self._weighted = self.covariance @ self.target @ self.covariance
