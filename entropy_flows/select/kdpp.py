"""k-DPP: a random set of k cells, the likelier the more its cells differ.

    P(S) ∝ det L_S,    |S| = k,    L = Φ Φᵀ, Φ the features (n, m) of the pool                   (1)

Cells of the data set D are given: P(S | D) ∝ det L_{S ∪ D}, which is (1) with Φ orthogonal to the
features of D (Schur's complement). The sample is exact, by the eigenvectors of the dual ΦᵀΦ (m, m):

    choose J, |J| = k, of the eigenvectors with P(J) ∝ Π_{j ∈ J} λ_j                             (2)
    choose S from the projection on them, P(i) = |V_i|²/(k − t), V made orthogonal to each taken (3)

(2) goes by the elementary symmetric polynomials e_l of λ_1 … λ_j, in logarithms, since they leave
the range of numbers. (Kulesza and Taskar, Proc. ICML 28, 1193, 2011, algorithms 1 and 2; the dual
in Found. Trends Mach. Learn. 5, 123, 2012, section 3.3.)
"""

from __future__ import annotations

import numpy as np

from entropy_flows.conventions import Array
from entropy_flows.select.base import Pool
from entropy_flows.select.kernel import KernelSelector, without_copies
from entropy_flows.select.ranking import InOrder, in_turn
from entropy_flows.select.selector import DataSet, Scorer
from entropy_flows.select.space import FeatureSpace, summarise_pool

SEED = 0
"""Seed of the sample; what varies with a campaign's seed is the order of the pool."""
SMALLEST_EIGENVALUE = 1e-10
"""Eigenvalues below this share of the largest are rounding."""


class KDPPSelector(KernelSelector):
    """Accept a sample of a k-DPP, k the budget."""

    selector: str = "kdpp"

    def scorer(self, candidates: Pool, dataset: DataSet, budget: int | None) -> Scorer:
        """Return the sample, in the order of sampling."""
        space = FeatureSpace(summarise_pool(candidates).means, dataset.centres)
        different = without_copies(space)
        n_cells = len(different) if budget is None else min(budget, len(different))
        if not n_cells:
            return InOrder([], space.copies_left(0) if len(space) and budget != 0 else "")
        everything = np.concatenate([space.points, space.centres])
        basis = self.basis(everything, n_cells + space.n_centres)
        features = basis.features(space.points[different])
        features = orthogonal_to(features, basis.features(space.centres))
        sample = sample_of_k_dpp(features, n_cells, np.random.default_rng([SEED, len(space)]))
        reason = f"the pool's kernel has rank {len(sample)} beside the data set"
        if len(sample) == n_cells:
            reason = space.copies_left(n_cells) if n_cells < len(space) else ""
        return InOrder(in_turn(candidates, different[sample].tolist()), reason)


def orthogonal_to(features: Array, given: Array) -> Array:
    """Return features (n, m) without what lies in the span of others (k, m)."""
    if not len(given):
        return features
    _, values, directions = np.linalg.svd(given, full_matrices=False)
    directions = directions[values**2 > SMALLEST_EIGENVALUE * values[0] ** 2]
    rest: Array = features - (features @ directions.T) @ directions
    return rest


def sample_of_k_dpp(features: Array, k: int, rng: np.random.Generator) -> list[int]:
    """Return the indices of a sample of the k-DPP with L = Φ Φᵀ.

    Parameters
    ----------
    features
        Φ (n, m).
    k
        Number of cells; the rank of L is taken if it is less.
    rng
        Draws the sample.
    """
    values, vectors = np.linalg.eigh(features.T @ features)
    counts = values > SMALLEST_EIGENVALUE * max(values[-1], 0.0)
    values = values[counts]
    k = min(k, len(values))
    chosen = _eigenvectors(values, k, rng)
    # eigenvectors (n, k) of L, from those of the dual
    rows = features @ vectors[:, counts][:, chosen] / np.sqrt(values[chosen])
    left = np.einsum("nk,nk->n", rows, rows)
    taken = np.zeros((len(rows), k))
    sample: list[int] = []
    for step in range(k):
        left = np.maximum(left, 0.0)
        left[sample] = 0.0
        index = int(rng.choice(len(rows), p=left / left.sum()))
        along = rows @ rows[index] - taken[:, :step] @ taken[index, :step]
        taken[:, step] = along / np.sqrt(left[index])
        left = left - taken[:, step] ** 2
        sample.append(index)
    return sample


def _eigenvectors(values: Array, k: int, rng: np.random.Generator) -> list[int]:
    """Return the indices of k eigenvectors, equation (2)."""
    logs = np.log(values)
    polynomials = np.full((len(values) + 1, k + 1), -np.inf)
    """log e_l of the first j eigenvalues, (j, l)."""
    polynomials[:, 0] = 0.0
    for j, log in enumerate(logs, 1):
        before = polynomials[j - 1]
        polynomials[j, 1:] = np.logaddexp(before[1:], log + before[:-1])
    chosen: list[int] = []
    draws = rng.random(len(values))
    for j in range(len(values), 0, -1):
        missing = k - len(chosen)
        if missing == 0:
            break
        log_chance = logs[j - 1] + polynomials[j - 1, missing - 1] - polynomials[j, missing]
        if draws[j - 1] < np.exp(log_chance):
            chosen.append(j - 1)
    return chosen
