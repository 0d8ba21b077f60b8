"""Regularised least squares whose strength the labels decide.

    y = X c + noise,    c ~ N(0, 1/α),    noise ~ N(0, 1/β)                                      (1)
    c = (Xᵀ X + ρ)⁻¹ Xᵀ y,    ρ = α/β                                                            (2)
    1/β = [yᵀ y − Σ_k b_k²/(λ_k + ρ)] / N                                                        (3)
    log evidence = ½ Σ_k log ρ/(λ_k + ρ) + ½ N log β + constant                                  (4)

with Xᵀ X = V λ Vᵀ and b = Vᵀ Xᵀ y. β is the best for its ρ, and ρ the best of a grid. A prediction
of x has the variance xᵀ (Xᵀ X + ρ)⁻¹ x/β.

=======  ==========================================================================================
symbol   meaning
=======  ==========================================================================================
X        features (N, m) of the labels, each row over the label's own standard deviation
y        labels (N,) over the same
=======  ==========================================================================================

(MacKay, Neural Comput. 4, 415, 1992.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from entropy_flows.conventions import Array

STRENGTHS = np.logspace(-12, 2, 57)
"""ρ, as shares of the largest λ."""


@dataclass(frozen=True)
class Ridge:
    """A fit.

    Attributes
    ----------
    coefficients
        c (m,).
    strength
        ρ.
    noise
        1/β: by how much the labels' variances are larger than was said.
    """

    coefficients: Array
    strength: float
    noise: float
    _vectors: Array
    _values: Array

    @classmethod
    def of(cls, moments: Array, products: Array, square: float, n: int) -> Ridge:
        """Fit from Xᵀ X (m, m), Xᵀ y (m,), yᵀ y and the number N of labels."""
        values, vectors = np.linalg.eigh(moments)
        values = np.maximum(values, 0.0)
        b = vectors.T @ products
        strengths = STRENGTHS * values[-1] if values[-1] > 0 else np.ones(1)
        shrunk = values + strengths[:, None]
        noise = np.maximum(square - (b**2 / shrunk).sum(axis=1), 1e-12 * square + 1e-300) / n
        evidence = 0.5 * np.log(strengths[:, None] / shrunk).sum(axis=1) - 0.5 * n * np.log(noise)
        best = int(np.argmax(evidence))
        coefficients = vectors @ (b / shrunk[best])
        return cls(coefficients, float(strengths[best]), float(noise[best]), vectors, values)

    def spread(self, rows: Array) -> Array:
        """Return the standard deviation (n,) of predictions of rows (n, m)."""
        turned = rows @ self._vectors
        return np.sqrt(self.noise * (turned**2 / (self._values + self.strength)).sum(axis=1))
