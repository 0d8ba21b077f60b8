"""Learning curves: draws from pools of labels, and statistics over several seeds.

mean  m = ⟨x⟩,   standard deviation  s = [Σ (x − m)² / (n − 1)]^½      over n seeds
ratio r = m_a / m_b ± r [ s_a² / (n_a m_a²) + s_b² / (n_b m_b²) ]^½    (standard error, first order)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from entropy_flows.conventions import GPA

ItemT = TypeVar("ItemT")
ERROR_COLUMNS = {
    "energy_mae": ("energy MAE, meV/atom", 1e3),
    "energy_rmse": ("energy RMSE, meV/atom", 1e3),
    "forces_mae": ("force MAE, meV/Å", 1e3),
    "stress_mae": ("stress MAE, GPa", GPA),
}
"""Error → its name in tables, and the factor from eV and Å to its unit."""
NEAR_POOL = "the near-equilibrium part of the baseline (max|F| < curve.max_force)"


@dataclass(frozen=True)
class Mean:
    """Statistics of several seeds' values."""

    mean: float
    """Mean of the values."""
    std: float
    """Standard deviation; 0 of a single value."""
    n: int
    """Number of values."""

    @classmethod
    def of(cls, values: Sequence[float]) -> Mean:
        """Compute mean and sample standard deviation."""
        array = np.asarray(values, dtype=float)
        std = float(array.std(ddof=1)) if len(array) > 1 else 0.0
        return cls(float(array.mean()), std, len(array))

    def scaled(self, factor: float) -> Mean:
        """Return the same in another unit."""
        return Mean(factor * self.mean, factor * self.std, self.n)

    def __str__(self) -> str:
        return self._text(self.std)

    @property
    def with_standard_error(self) -> str:
        """Return the mean ± standard error s/√n as text."""
        return self._text(self.std / self.n**0.5)

    def _text(self, error: float) -> str:
        size = abs(self.mean)
        digits = 3 if size < 1 else 2 if size < 10 else 1
        mean = f"{self.mean:.{digits}f}"
        return f"{mean} ± {error:.{digits}f}" if self.n > 1 else mean


@dataclass(frozen=True)
class Ratio:
    """One mean divided by another."""

    value: float
    """The ratio."""
    error: float | None
    """Standard error; None where one of them is a single value, which has no spread."""

    @classmethod
    def of(cls, a: Mean, b: Mean) -> Ratio:
        """Compute m_a / m_b."""
        value = a.mean / b.mean
        if min(a.n, b.n) < 2:
            return cls(value, None)
        relative_variance = sum(x.std**2 / (x.n * x.mean**2) for x in (a, b))
        return cls(value, value * float(np.sqrt(relative_variance)))

    def __str__(self) -> str:
        return f"{self.value:.2f}" if self.error is None else f"{self.value:.2f} ± {self.error:.2f}"


def summarise(
    points: Iterable[Mapping[str, Any]], test: str, quantity: str
) -> dict[tuple[str, int], Mean]:
    """Average an error over the seeds, by method and size.

    Parameters
    ----------
    points
        With `method`, `size` and `errors` (test → errors), as `PointDoc` has them.
    test
        Name of the test set.
    quantity
        Name of an error, such as `energy_mae`.

    Returns
    -------
    dict
        (method, size) → mean, sorted by method and then by size. Points without this error do not
        count.
    """
    values: dict[tuple[str, int], list[float]] = {}
    for point in points:
        error = point["errors"].get(test, {}).get(quantity)
        if error is not None:
            values.setdefault((point["method"], point["size"]), []).append(error)
    return {key: Mean.of(values[key]) for key in sorted(values)}


def draw(pool: Sequence[ItemT], size: int, seed: int, pool_name: str = "the pool") -> list[ItemT]:
    """Draw different items, the same ones for the same seed.

    Parameters
    ----------
    pool
        Items to draw from.
    size
        Number of items to draw.
    seed
        Seed of the draw.
    pool_name
        Name of the pool in the message of an error.

    Raises
    ------
    ValueError
        If the pool is too small.
    """
    if size > len(pool):
        raise ValueError(f"{pool_name} has {len(pool)} cells to train on, {size} are wanted")
    # The size is part of the seed: a small draw is no subset of a larger one of the same seed.
    order = np.random.default_rng([seed, size]).permutation(len(pool))[:size]
    return [pool[index] for index in order]


def draw_mixed(
    entropy: Sequence[ItemT], near_cells: Sequence[ItemT], size: int, share: float, seed: int
) -> list[ItemT]:
    """Draw a mixed pool, as in Wang 2026, section 4.4.5.

    Parameters
    ----------
    entropy
        The entropy pool, from which most items come.
    near_cells
        The near-equilibrium cells of the random pool.
    size
        Number of items to draw.
    share
        Share of them that comes from `near_cells`.
    seed
        Seed of the draws.
    """
    near_size = round(share * size)
    entropy_items = draw(entropy, size - near_size, seed, "the entropy pool")
    return entropy_items + draw(near_cells, near_size, seed, NEAR_POOL)
