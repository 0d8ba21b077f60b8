"""Regularised least squares whose strength the labels decide.

    y = X c + noise,    c ~ N(0, 1/α),    noise ~ N(0, 1/β)                                      (1)
    c = (Xᵀ X + ρ)⁻¹ Xᵀ y,    ρ = α/β                                                            (2)
    1/β = [yᵀ y − Σ_k b_k²/(λ_k + ρ)] / N                                                        (3)
    log evidence = ½ Σ_k log ρ/(λ_k + ρ) + ½ N log β + constant                                  (4)

with Xᵀ X = V λ Vᵀ and b = Vᵀ Xᵀ y. β is the best for its ρ, and ρ the best of a grid. A prediction
of x has the variance xᵀ (Xᵀ X + ρ)⁻¹ x/β.

Or ρ has the least squared error on cells that are left out, fold after fold f:

    Σ_f |y_f − X_f c_f|²,   c_f the coefficients of (2) without fold f                           (5)

The evidence takes what a fit cannot explain for noise of each label alone. Of cells that are unlike
each other it then chooses too small a ρ.

=======  ==========================================================================================
symbol   meaning
=======  ==========================================================================================
X        features (N, m) of the labels, each row over the label's own standard deviation
y        labels (N,) over the same
=======  ==========================================================================================

(MacKay, Neural Comput. 4, 415, 1992.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from entropy_flows.conventions import Array

STRENGTHS = np.logspace(-12, 2, 57)
"""ρ, as shares of the largest λ."""


@dataclass
class Moments:
    """Sums over labels, from which a fit follows."""

    products: Array
    """Xᵀ X (m, m)."""
    targets: Array
    """Xᵀ y (m,)."""
    square: float = 0.0
    """yᵀ y."""
    n: int = 0
    """Number of labels."""

    @classmethod
    def none(cls, dim: int) -> Moments:
        """Return sums over no labels."""
        return cls(np.zeros((dim, dim)), np.zeros(dim))

    def add(self, rows: Array, labels: Array) -> None:
        """Add rows (n, m) of X and labels (n,)."""
        self.products += rows.T @ rows
        self.targets += rows.T @ labels
        self.square += float(labels @ labels)
        self.n += len(labels)

    def __add__(self, other: Moments) -> Moments:
        return self._combined(other, 1)

    def __sub__(self, other: Moments) -> Moments:
        return self._combined(other, -1)

    def _combined(self, other: Moments, sign: int) -> Moments:
        return Moments(
            self.products + sign * other.products,
            self.targets + sign * other.targets,
            self.square + sign * other.square,
            self.n + sign * other.n,
        )

    def spectrum(self) -> tuple[Array, Array, Array]:
        """Return λ (m,), V (m, m) and b (m,)."""
        values, vectors = np.linalg.eigh(self.products)
        return np.maximum(values, 0.0), vectors, vectors.T @ self.targets


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
    def of(cls, folds: Sequence[Moments], by_folds: bool = False) -> Ridge:
        """Fit to the labels of all folds.

        Parameters
        ----------
        folds
            Parts of the labels; one suffices for the evidence.
        by_folds
            Whether ρ has the least error on folds that are left out, instead of the largest
            evidence.
        """
        moments = sum(folds[1:], start=folds[0])
        values, vectors, b = moments.spectrum()
        strengths = STRENGTHS * values[-1] if values[-1] > 0 else np.ones(1)
        shrunk = values + strengths[:, None]
        square = moments.square
        n = moments.n
        noise = np.maximum(square - (b**2 / shrunk).sum(axis=1), 1e-12 * square + 1e-300) / n
        evidence = 0.5 * np.log(strengths[:, None] / shrunk).sum(axis=1) - 0.5 * n * np.log(noise)
        if by_folds and len(folds) > 1:
            evidence = -sum(_error_left_out(moments - fold, fold, strengths) for fold in folds)
        best = int(np.argmax(evidence))
        coefficients = vectors @ (b / shrunk[best])
        return cls(coefficients, float(strengths[best]), float(noise[best]), vectors, values)

    def spread(self, rows: Array) -> Array:
        """Return the standard deviation (n,) of predictions of rows (n, m)."""
        turned = rows @ self._vectors
        return np.sqrt(self.noise * (turned**2 / (self._values + self.strength)).sum(axis=1))


def _error_left_out(others: Moments, fold: Moments, strengths: Array) -> Array:
    """Return a fold's part of equation (5) for each ρ."""
    values, vectors, b = others.spectrum()
    coefficients = vectors @ (b / (values + strengths[:, None])).T
    fitted = np.einsum("ms,ms->s", coefficients, fold.products @ coefficients)
    return fold.square - 2 * fold.targets @ coefficients + fitted
