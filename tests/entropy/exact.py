"""Entropies from the vectors themselves in extended precision: what streamed statistics are held
against.
"""

from decimal import Decimal, localcontext

import numpy as np

LAMBDA = 1e-3


def cloud(n_cells, atoms, dim, seed=0, scale=10.0):
    """Fingerprint-like vectors: decaying scales, a mean far from zero."""
    rng = np.random.default_rng(seed)
    scales = scale * np.exp(-6 * np.arange(dim) / dim)
    return [scales * (2 + 0.2 * rng.normal(size=(atoms, dim))) for _ in range(n_cells)]


def vectors(cells, mode):
    """What the cells count as, one below the other."""
    return np.concatenate([q if mode == "atom" else q.mean(axis=0, keepdims=True) for q in cells])


def exact_log_det(matrix):
    """log det of a positive definite matrix by elimination, in the matrix' own precision."""
    left, total = np.array(matrix), 0
    for j in range(len(left)):
        total += np.log(left[j, j])
        left[j + 1 :, j + 1 :] -= np.outer(left[j + 1 :, j] / left[j, j], left[j, j + 1 :])
    return total


def decimal_log_det(diagonal, rows):
    """log det(diag + rowsᵀ rows) to 60 digits, whatever its condition; small matrices only."""
    with localcontext() as context:
        context.prec = 60
        wide = np.vectorize(Decimal, otypes=[object])
        matrix = np.diag(wide(diagonal)) + (wide(rows).T @ wide(rows) if len(rows) else 0)
        total = Decimal(0)
        while len(matrix):
            total += matrix[0, 0].ln()
            matrix = matrix[1:, 1:] - np.outer(matrix[1:, 0] / matrix[0, 0], matrix[0, 1:])
        return total


def exact_entropy(cells, mode, regularization=LAMBDA):
    """log det Σ with 64-bit mantissas, where the machine has them."""
    x = vectors(cells, mode).astype(np.longdouble)
    x = x - x.mean(axis=0)
    return exact_log_det(
        np.einsum("ij,ik->jk", x, x) / len(x) + np.longdouble(regularization) * np.eye(x.shape[1])
    )


def exact_gain(cells, q, mode, regularization=LAMBDA):
    """ΔH from two determinants."""
    return float(
        exact_entropy([*cells, q], mode, regularization)
        - exact_entropy(cells, mode, regularization)
    )
