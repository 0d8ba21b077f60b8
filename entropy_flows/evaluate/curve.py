"""Learning curves: draws from pools of labels, and what several seeds say together.

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
"""Error → what it is called in tables, and its unit in them."""


@dataclass(frozen=True)
class Mean:
    """Several seeds' values."""

    mean: float
    std: float
    """Standard deviation; 0 of a single value."""
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Mean:
        """Mean and sample standard deviation."""
        array = np.asarray(values, dtype=float)
        return cls(
            float(array.mean()), float(array.std(ddof=1)) if len(array) > 1 else 0.0, len(array)
        )

    def scaled(self, factor: float) -> Mean:
        """The same in another unit."""
        return Mean(factor * self.mean, factor * self.std, self.n)

    def __str__(self) -> str:
        digits = 3 if abs(self.mean) < 1 else 2 if abs(self.mean) < 10 else 1
        return (
            f"{self.mean:.{digits}f} ± {self.std:.{digits}f}"
            if self.n > 1
            else f"{self.mean:.{digits}f}"
        )


@dataclass(frozen=True)
class Ratio:
    """One mean by another."""

    value: float
    error: float | None
    """Standard error; None where one of them is a single value, which tells no spread."""

    @classmethod
    def of(cls, a: Mean, b: Mean) -> Ratio:
        """m_a / m_b."""
        value = a.mean / b.mean
        if min(a.n, b.n) < 2:
            return cls(value, None)
        return cls(value, value * float(np.sqrt(sum(x.std**2 / (x.n * x.mean**2) for x in (a, b)))))

    def __str__(self) -> str:
        return f"{self.value:.2f}" if self.error is None else f"{self.value:.2f} ± {self.error:.2f}"


def summarise(
    points: Iterable[Mapping[str, Any]], test: str, quantity: str
) -> dict[tuple[str, int], Mean]:
    """Mean over the seeds of an error, by method and size.

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
        (method, size) → mean, by method and then by size, whichever was done first; without points
        that have no such error.
    """
    values: dict[tuple[str, int], list[float]] = {}
    for point in points:
        value = point["errors"].get(test, {}).get(quantity)
        if value is not None:
            values.setdefault((point["method"], point["size"]), []).append(value)
    return {key: Mean.of(values[key]) for key in sorted(values)}


def draw(pool: Sequence[ItemT], size: int, seed: int, what: str = "the pool") -> list[ItemT]:
    """`size` different items, the same for the same seed.

    Raises
    ------
    ValueError
        If the pool is too small.
    """
    if size > len(pool):
        raise ValueError(f"{what} has {len(pool)} cells to train on, {size} are wanted")
    order = np.random.default_rng([seed, size]).permutation(len(pool))[:size]
    return [pool[place] for place in order]


NEAR = "the near-equilibrium part of the baseline (max|F| < curve.max_force)"


def draw_mixed(
    entropy: Sequence[ItemT], near: Sequence[ItemT], size: int, share: float, seed: int
) -> list[ItemT]:
    """Most from the entropy pool, a share from near-equilibrium cells of the random one (Wang 2026, section 4.4.5)."""
    few = round(share * size)
    return draw(entropy, size - few, seed, "the entropy pool") + draw(near, few, seed, NEAR)
