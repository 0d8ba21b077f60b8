"""Weights of labelled cells, as a target has them and not as they were chosen.

    w_c = p_T(x_c) / p_D(x_c),    p(x) = Σ_i w_i k(x, x_i) / Σ_i w_i ≈ φ(x) · ⟨φ⟩                (1)

with both densities by the kernel of a frozen basis. Ratios are kept between 1/`LIMIT` and `LIMIT`,
so that no cell is lost and none decides alone, and then scaled to a mean of 1.

=======  ==========================================================================================
symbol   meaning
=======  ==========================================================================================
p_T, p_D densities of the target and of the labelled cells
φ        features of a cell, see `cell_basis`
=======  ==========================================================================================

(Importance weighting under covariate shift: Shimodaira, J. Stat. Plan. Inference 90, 227, 2000.)
"""

from __future__ import annotations

import numpy as np

from entropy_flows.conventions import Array
from entropy_flows.entropy.cell_basis import CellBasis, CellMeans

LIMIT = 5.0
"""Largest ratio of densities, and the inverse of the smallest."""


def target_weights(
    basis: CellBasis, cells: CellMeans, target: CellMeans, shares: Array | None = None
) -> Array:
    """Return the weight (n,) of each labelled cell, equation (1).

    Parameters
    ----------
    basis
        Features of cells.
    cells
        The labelled cells.
    target
        Cells of the target.
    shares
        Weights of the target's cells; None weighs all alike.
    """
    features = basis.features(cells.means)
    mean_of_target = np.average(basis.features(target.means), axis=0, weights=shares)
    of_target = np.maximum(features @ mean_of_target, 0.0)
    # a cell is near itself, so this density is positive wherever the landmarks see the cell
    of_data = np.maximum(features @ features.mean(axis=0), np.finfo(float).tiny)
    ratios = np.clip(of_target / of_data, 1 / LIMIT, LIMIT)
    weights: Array = ratios / ratios.mean()
    return weights
