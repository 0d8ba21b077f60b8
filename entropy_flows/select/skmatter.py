"""FPS and CUR as scikit-matter has them, on standardised mean fingerprints (extra `selectors`).

    fps   farthest point sampling from the pool's first candidate
    cur   the largest leverage π_i = Σ_k u_ik² of the leading singular vectors of X = U S Vᵀ, with X made orthogonal to
          each sample as it is taken

Both look at the pool alone, not at the data set. CUR's X has rank d at most, after which the
leverage of what is left is rounding: with more than d cells to choose, take another. (Imbalzano et
al., J. Chem. Phys. 148, 241730, 2018.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from entropy_flows.conventions import Array
from entropy_flows.entropy import Mode, SufficientStatistics
from entropy_flows.select.base import Decisions, Pool, accept, used_up
from entropy_flows.select.space import FeatureSpace, Places, summarise_pool

INSTALL = 'pip install "skmatter>=0.3"'


@dataclass(frozen=True)
class SkmatterSelector:
    """Accept the samples that scikit-matter selects, in its order; the others are not decided on.

    Attributes
    ----------
    method
        "fps" or "cur".

    Raises
    ------
    ValueError
        If scikit-matter is not installed, or not in a version that works with the scipy that is
        there.
    """

    method: Literal["fps", "cur"]

    def check(self) -> None:
        """Raise the error of a missing package now."""
        _selection(self.method)

    def __call__(
        self,
        candidates: Pool,
        statistics: Mapping[Mode, SufficientStatistics],
        budget: int | None = None,
        centres: np.ndarray | None = None,
    ) -> Decisions:
        """Accept samples; see `Selector`."""
        make = _selection(self.method)
        points = FeatureSpace(summarise_pool(candidates).means).points
        different = np.sort(
            np.unique(points, axis=0, return_index=True)[1]
        )  # copies would be taken like others
        most = (
            len(different)
            if self.method == "fps"
            else min(len(different), np.linalg.matrix_rank(points))
        )
        wanted = most if budget is None else min(budget, most)
        for index in _selected(make, points[different], wanted):
            yield accept(int(different[index]), candidates[int(different[index])], statistics)
        if budget is None or budget <= most:
            return ""
        if most < len(different):
            return f"the pool's matrix has rank {most}, beyond which CUR's leverage is rounding"
        return (
            used_up(most, budget)
            if most == len(points)
            else f"only {most} of {len(points)} candidates differ"
        )


def _selection(method: str) -> Any:
    """scikit-matter's class, with what it needs beside the number."""
    try:
        from skmatter.sample_selection import CUR, FPS
    except ImportError as err:
        raise ValueError(f"selector {method!r} needs scikit-matter ({err}); {INSTALL}") from None
    return (
        (lambda n: FPS(initialize=0, n_to_select=n))
        if method == "fps"
        else (lambda n: CUR(n_to_select=n))
    )


def _selected(make: Any, points: Array, wanted: int) -> Places:
    """Places in the order of selection."""
    if wanted < 1 or len(points) < 2:
        return np.arange(min(max(wanted, 0), len(points)))
    return make(wanted).fit(points).selected_idx_
