"""A frozen basis for a kernel between cells, in which statistics of a data set are sums.

    x    = (q̄ − ⟨q̄⟩) / max(s, ⅒ max s)                                                         (1)
    k(z, x) = exp(−|x − z|² / 2ℓ²)                                                               (2)
    φ(x) = K_zz^(−½) k(z, x)                                                                     (3)

φ(x)·φ(x′) is the Nyström approximation of k(x, x′) on the landmarks z. It is exact where one of the
two is a landmark, and |φ(x)|² ≤ 1. The basis is drawn once from a reference set and never changed
afterwards: whatever is a sum over cells of φ φᵀ can then be added to, merged and stored.

=======  ==========================================================================================
symbol   meaning
=======  ==========================================================================================
q̄        mean of a cell's fingerprints (d,)
⟨q̄⟩, s   mean and standard deviation of the components over the reference set
z        `landmarks`, M points of the reference set in units of (1)
ℓ        `length`, a share of the median distance between two points of the reference set
K_zz     k between the landmarks (M, M)
=======  ==========================================================================================

(Williams and Seeger, Adv. Neural Inf. Process. Syst. 13, 682, 2000.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from entropy_flows.conventions import Array

FLOOR = 0.1
"""Smallest standard deviation of a component, as a share of the largest."""
COPY_DISTANCE = 1e-4
"""Distance of two points up to which one is a copy of the other: that of cells whose positions
were rounded to 10⁻⁵ Å. One that is turned, or was written by another program, is no new cell."""
ROUNDING = 1e-8
"""Standard deviation of the means of copies, as a share of the largest mean: that of cells whose
positions were rounded to 10⁻⁸ Å."""
SMALLEST_EIGENVALUE = 1e-10
"""Eigenvalues of K_zz below this share of the largest are left out: copies among the landmarks."""
PAIRS = 20_000
"""Pairs of points of which the median distance is taken."""
BLOCK = 4096
"""Points whose features are computed at once."""
FEWEST_LANDMARKS = 400
LANDMARKS_PER_LABEL = 2
SEED = 0
"""Seed of landmarks and pairs; what varies with a campaign's seed is the reference set's order."""


def landmarks_for(labels: int) -> int:
    """Return the number M of landmarks that tells so many labels apart."""
    return max(FEWEST_LANDMARKS, LANDMARKS_PER_LABEL * labels)


def standardisation(means: Array) -> tuple[Array, Array]:
    """Return ⟨q̄⟩ and the denominator of equation (1), both (d,).

    Parameters
    ----------
    means
        q̄ (n, d) of the reference set; without cells, or of copies alone, there is nothing to scale
        by.
    """
    if not len(means):
        return np.zeros(1), np.ones(1)
    spread = means.std(axis=0)
    largest = spread.max()
    if largest <= ROUNDING * np.abs(means).max():
        return means.mean(axis=0), np.ones_like(spread)
    return means.mean(axis=0), np.maximum(spread, FLOOR * largest)


@dataclass(frozen=True)
class KernelBasis:
    """Features φ of points, equation (3).

    Attributes
    ----------
    landmarks
        z (M, d), standardised.
    length
        ℓ.
    whitener
        K_zz^(−½) (M, m), with the m eigenvectors that count.
    """

    landmarks: Array
    length: float
    whitener: Array

    @classmethod
    def drawn(cls, points: Array, landmarks: int, relative_length: float) -> Self:
        """Draw a basis from a reference set.

        Parameters
        ----------
        points
            x (n, d), standardised.
        landmarks
            Number M of landmarks, drawn at random; all points if there are fewer.
        relative_length
            ℓ as a share of the median distance of two points.

        Raises
        ------
        ValueError
            If there are no points.
        """
        if not len(points):
            raise ValueError("a kernel basis needs at least one cell, got none")
        rng = np.random.default_rng([SEED, len(points)])
        chosen = rng.permutation(len(points))[:landmarks]
        z = points[np.sort(chosen)]
        length = relative_length * median_distance(points, rng)
        values, vectors = np.linalg.eigh(rbf(z, z, length))
        counts = values > SMALLEST_EIGENVALUE * values[-1]
        # in the order in which it is stored and read: products then have the same bits
        whitener = np.ascontiguousarray(vectors[:, counts] / np.sqrt(values[counts]))
        return cls(z, length, whitener)

    @property
    def dim(self) -> int:
        """Return the number m of features."""
        return self.whitener.shape[1]

    def features(self, points: Array) -> Array:
        """Return φ (n, m) of points x (n, d)."""
        features = np.empty((len(points), self.dim))
        for start in range(0, len(points), BLOCK):
            block = slice(start, start + BLOCK)
            features[block] = rbf(points[block], self.landmarks, self.length) @ self.whitener
        return features

    def pull_back(self, point: Array, derivative: Array) -> Array:
        """Return ∂f/∂x (d,), given ∂f/∂φ (m,) at a point x (d,).

        Of (2), ∂k/∂x = −k (x − z)/ℓ².
        """
        kernel = rbf(point[None], self.landmarks, self.length)[0]
        weights = kernel * (self.whitener @ derivative)
        return (weights @ self.landmarks - weights.sum() * point) / self.length**2


def median_distance(points: Array, rng: np.random.Generator) -> float:
    """Return the median distance of two points that are no copies; 1 if all are."""
    first, second = rng.integers(0, len(points), size=(2, PAIRS))
    distances = np.sqrt(_squares(points, first, second))
    different = distances[distances > COPY_DISTANCE]
    return float(np.median(different)) if different.size else 1.0


def _squares(points: Array, first: Array, second: Array) -> Array:
    """Return the squared distances of pairs, in blocks that bound the memory."""
    blocks = [
        np.square(points[first[start : start + BLOCK]] - points[second[start : start + BLOCK]])
        for start in range(0, len(first), BLOCK)
    ]
    return np.concatenate([block.sum(axis=1) for block in blocks])


def rbf(x: Array, z: Array, length: float) -> Array:
    """Return k (n, M) between points x (n, d) and z (M, d)."""
    # one array of n M numbers: each further one would be read from memory and written again
    exponents: Array = x @ z.T
    exponents -= 0.5 * np.einsum("nd,nd->n", x, x)[:, None]
    exponents -= 0.5 * np.einsum("md,md->m", z, z)
    exponents /= length**2
    np.minimum(exponents, 0.0, out=exponents)
    return np.exp(exponents, out=exponents)
