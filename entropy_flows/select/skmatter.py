"""FPS and CUR as scikit-matter has them, on standardised mean fingerprints (extra `selectors`).

    fps   farthest point sampling from the pool's first candidate
    cur   the largest leverage π_i = Σ_k u_ik² of the leading singular vectors of X = U S Vᵀ, with X
          made orthogonal to each sample as it is taken

Both look at the pool alone, not at the data set. CUR's X has rank d at most, after which the
leverage of what is left is rounding: with more than d cells to choose, take another. (Imbalzano et
al., J. Chem. Phys. 148, 241730, 2018.)
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np

from entropy_flows.conventions import Array
from entropy_flows.select.base import Pool
from entropy_flows.select.ranking import InOrder, in_turn
from entropy_flows.select.selector import DataSet, Scorer, Selector
from entropy_flows.select.space import FeatureSpace, Indices, summarise_pool

INSTALL = 'pip install "skmatter>=0.3"'


class SkmatterSelector(Selector):
    """Base of the selectors that accept what scikit-matter selects, in its order."""

    needs_centres: ClassVar[bool] = False

    @abstractmethod
    def sampler(self, n: int) -> Any:
        """Return scikit-matter's object that selects n samples."""

    @abstractmethod
    def most(self, points: Array, n_different: int) -> int:
        """Return the largest number of samples that can be selected."""

    def check(self) -> None:
        """Raise a ValueError if scikit-matter is missing, or unfit for the scipy beside it."""
        try:
            import skmatter.sample_selection  # noqa: F401
        except ImportError as err:
            raise ValueError(
                f"selector {self.selector!r} needs scikit-matter ({err}); {INSTALL}"
            ) from None

    def scorer(self, candidates: Pool, dataset: DataSet, budget: int | None) -> Scorer:
        """Return the selected samples in their order."""
        self.check()
        points = FeatureSpace(summarise_pool(candidates).means).points
        # scikit-matter takes copies like other points, so it sees one of each.
        different = np.sort(np.unique(points, axis=0, return_index=True)[1])
        most = self.most(points, len(different))
        n = most if budget is None else min(budget, most)
        order = different[self._selected(points[different], n)].tolist()
        reason = "" if budget is None else _reason(most, len(different), len(points))
        return InOrder(in_turn(candidates, order), reason)

    def _selected(self, points: Array, n: int) -> Indices:
        """Return the indices in the order of selection."""
        if n < 1 or len(points) < 2:
            return np.arange(min(max(n, 0), len(points)))
        return self.sampler(n).fit(points).selected_idx_


class FPSSelector(SkmatterSelector):
    """Accept scikit-matter's farthest points."""

    selector: str = "fps"

    def sampler(self, n: int) -> Any:
        """Return scikit-matter's FPS, starting at the first point."""
        from skmatter.sample_selection import FPS

        return FPS(initialize=0, n_to_select=n)

    def most(self, points: Array, n_different: int) -> int:
        """Return that each different point can be selected."""
        return n_different


class CURSelector(SkmatterSelector):
    """Accept scikit-matter's CUR samples."""

    selector: str = "cur"

    def sampler(self, n: int) -> Any:
        """Return scikit-matter's CUR."""
        from skmatter.sample_selection import CUR

        return CUR(n_to_select=n)

    def most(self, points: Array, n_different: int) -> int:
        """Return the rank of the points, beyond which the leverage is rounding."""
        return int(min(n_different, np.linalg.matrix_rank(points)))


def _reason(most: int, n_different: int, n_points: int) -> str:
    """Return why no more can be selected; "" if it is all of the pool."""
    if most < n_different:
        return f"the pool's matrix has rank {most}, beyond which CUR's leverage is rounding"
    return "" if most == n_points else f"only {most} of {n_points} candidates differ"
