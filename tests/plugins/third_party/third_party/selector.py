"""A selector: the cells whose atoms differ most among themselves."""

import numpy as np
from pydantic import Field

from entropy_flows.select import Ranking, Selector


class LargestSpread(Selector):
    """Accept the cell with the largest spread of its atoms' fingerprints, then the next."""

    selector: str = "largest-spread"
    exponent: float = Field(1.0, gt=0)
    """Power of the distances to the cell's mean."""
    least_spread: float = Field(0.0, ge=0)
    """Spread that a cell must exceed."""

    @property
    def threshold(self) -> float:
        """Score that a cell must exceed."""
        return self.least_spread

    def score(self, pool: Ranking) -> np.ndarray:
        """Return the spread (n,) of every candidate."""
        return np.array([self.spread(candidate.q) for candidate in pool.candidates])

    def spread(self, q: np.ndarray) -> float:
        """Return the mean power of the distances of fingerprints (n_atoms, dim) to their mean."""
        distances = np.linalg.norm(q - q.mean(axis=0), axis=1)
        return float(np.mean(distances**self.exponent))
