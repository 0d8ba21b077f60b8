"""Mean posterior variance over a target, from sufficient statistics.

A Gaussian process with the features φ of `basis` learns one number of each cell. What it does not
know of a target distribution after it has seen the data set D is

    A    = 1 + Σ_{c ∈ D} (w_c / σ²) φ_c φ_cᵀ                                                     (1)
    μ    = Σ_t w_t φ_t / Σ_t w_t,        T = Σ_t w_t φ_t φ_tᵀ / Σ_t w_t                          (2)
    V(D) = tr(A⁻¹ T) + (1 − tr T)                                                                (3)

V is 1 where nothing is known; 1 − tr T is what the landmarks cannot see. A cell's gain is what it
takes off V whatever its label will be (Sherman and Morrison), with P = A⁻¹:

    V(D) − V(D ∪ c) = φᵀ P T P φ / (σ²/w_c + φᵀ P φ)  ≥  0                                       (4)
    ∂gain/∂φ = 2 (P T P φ − gain · P φ) / (σ²/w_c + φᵀ P φ)                                      (5)

Adding a cell changes, with y = P φ / √(σ²/w_c + φᵀ P φ) and z = P T y,

    P ← P − y yᵀ,        P T P ← P T P − y zᵀ − z yᵀ + (yᵀ T y) y yᵀ                             (6)

The vectors y wait until there are `PENDING` of them, and enter P together: a cell then costs a few
products of a matrix with a vector. P is never inverted but where many cells are added
at once, and A ≥ 1 keeps both well conditioned.

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

from typing import NamedTuple, Self

import numpy as np

from entropy_flows.conventions import Array

PENDING = 32
"""Cells whose vectors y wait before P is renewed."""


class TargetMoments(NamedTuple):
    """A target's first and second moment in a basis of m features, equation (2)."""

    mean: Array
    """μ (m,)."""
    matrix: Array
    """T (m, m)."""

    @classmethod
    def of(cls, features: Array, weights: Array | None = None) -> Self:
        """Average over a target's cells.

        Parameters
        ----------
        features
            φ_t (n, m) of the target's cells.
        weights
            w_t (n,); None weighs all alike.

        Raises
        ------
        ValueError
            If the target has no cells.
        """
        if not len(features):
            raise ValueError("the target has no cells; it needs at least one")
        shares = np.ones(len(features)) if weights is None else np.asarray(weights, float)
        shares = shares / shares.sum()
        matrix: Array = (features * shares[:, None]).T @ features
        return cls(shares @ features, 0.5 * (matrix + matrix.T))


class TargetVariance:
    """The variance that a data set leaves of a target, in a basis of m features.

    Parameters
    ----------
    target
        T (m, m), of `TargetMoments`.
    noise
        σ² > 0.
    precision
        A (m, m) of the data set; None for an empty one.

    Attributes
    ----------
    target
        T (m, m).
    noise
        σ².

    Raises
    ------
    ValueError
        If the noise is not positive.
    """

    def __init__(self, target: Array, noise: float, precision: Array | None = None) -> None:
        if not noise > 0:
            raise ValueError(f"noise is {noise}, expected a positive number")
        self.noise = noise
        self.target = target
        self._steps: list[Array] = []
        """Vectors y that are not in P yet."""
        self._rows: list[Array] = []
        """√(w/σ²) φ of cells that are not in A yet."""
        self._is_stale = False
        """Whether P lacks cells of A."""
        if precision is None:
            self._precision = np.eye(len(target))
            self._covariance = np.eye(len(target))
            self._weighted: Array = target.copy()
            """P T P."""
        else:
            self._invert(precision)

    def copy(self) -> Self:
        """Return an independent copy."""
        self._renew()
        twin = type(self)(self.target, self.noise)
        twin._precision = self._precision.copy()
        twin._rows = list(self._rows)
        twin._covariance = self._covariance.copy()
        twin._weighted = self._weighted.copy()
        return twin

    @property
    def precision(self) -> Array:
        """A (m, m); its bits follow from the cells and their order alone."""
        for row in self._rows:
            self._precision += np.outer(row, row)
        self._rows = []
        return self._precision

    @property
    def covariance(self) -> Array:
        """P (m, m)."""
        self._renew()
        return self._covariance

    def value(self) -> float:
        """Return V, equation (3): between 0 and 1, small where the target is known."""
        seen = np.einsum("ij,ji->", self.covariance, self.target)
        return float(seen + 1 - np.trace(self.target))

    def gains(self, features: Array, weights: Array | float = 1.0) -> Array:
        """Return the gains (n,) of adding cells with features (n, m), each alone, equation (4)."""
        return self.numerators(features) / self.denominators(features, weights)

    def numerators(self, features: Array) -> Array:
        """Return φᵀ P T P φ (n,) of cells with features (n, m)."""
        self._renew()
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

    def append(self, feature: Array, weight: float = 1.0) -> None:
        """Add one cell with features (m,); P is computed anew when it is asked for."""
        self._rows.append(np.sqrt(weight / self.noise) * feature)
        self._is_stale = True

    def add(self, feature: Array, weight: float = 1.0) -> tuple[Array, Array, float]:
        """Add one cell with features (m,) in place.

        Returns
        -------
        tuple
            y (m,), z (m,) and yᵀ T y of equation (6), from which gains of others follow.
        """
        if self._is_stale:
            self._renew()
        projected = self._project(feature)
        y = projected / np.sqrt(self.noise / weight + feature @ projected)
        pulled = self.target @ y
        z = self._project(pulled)
        self._steps.append(y)
        self._rows.append(np.sqrt(weight / self.noise) * feature)
        if len(self._steps) == PENDING:
            self._renew()
        return y, z, float(y @ pulled)

    def add_all(self, features: Array, weights: Array | float = 1.0) -> None:
        """Add cells with features (n, m) at once: A is a sum, and inverted anew."""
        scaled = features * (np.broadcast_to(weights, len(features)) / self.noise)[:, None]
        added = scaled.T @ features
        self._invert(self.precision + 0.5 * (added + added.T))

    def _project(self, vector: Array) -> Array:
        """Return P v (m,) of a vector (m,), the cells that wait included."""
        projected: Array = self._covariance @ vector
        if self._steps:
            steps = np.array(self._steps)
            projected = projected - (steps @ vector) @ steps
        return projected

    def _renew(self) -> None:
        """Let the cells that wait into the matrices, equation (6)."""
        if self._is_stale:
            self._invert(self.precision)
        if not self._steps:
            return
        steps = np.array(self._steps)
        self._covariance = self._covariance - steps.T @ steps
        self._weighted = self._covariance @ self.target @ self._covariance
        self._steps = []

    def _invert(self, precision: Array) -> None:
        """Take A (m, m) and compute P and P T P from it."""
        self._precision = precision
        self._rows = []
        self._steps = []
        self._is_stale = False
        inverse = np.asarray(np.linalg.inv(precision), dtype=np.float64)
        self._covariance = 0.5 * (inverse + inverse.T)
        self._weighted = self._covariance @ self.target @ self._covariance
