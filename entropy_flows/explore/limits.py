"""Where k is during a run, and what ends one early."""

from __future__ import annotations

from collections.abc import Sequence

EXPLODED_FORCE = 1e3
"""Force (eV/Å) that no snapshot of a sane run reaches; beyond it the step is noise."""
LOST = "exploded: positions are not finite"
"""Reason of a run whose atoms are nowhere."""


def ramp(step: int, length: int) -> float:
    """Return the share of k at a step.

    It is 0 in the warm-up and rises over the `length` steps before step 1, the first sampled one.
    """
    if step >= 1:
        return 1.0
    return max(0.0, 1.0 + (step - 1) / length) if length else 0.0


def beyond(reason: str, values: Sequence[float], limit: float = float("inf")) -> dict[int, str]:
    """Return the cells whose value is not below the limit, by index, with the reason."""
    return {index: reason.format(x) for index, x in enumerate(values) if not x < limit}


def exploded(
    forces: Sequence[float], temperatures: Sequence[float], hottest: float
) -> dict[int, str]:
    """Return the cells that are beyond all bounds, by index, with the reason.

    Parameters
    ----------
    forces, temperatures
        Largest force (eV/Å) and temperature (K) of each cell.
    hottest
        Limit of the temperature (K).
    """
    hot = f"exploded: temperature {{:.0f}} K over the limit of {hottest:.0f} K"
    return {
        **beyond("exploded: force {:.0f} eV/Å", forces, EXPLODED_FORCE),
        **beyond(hot, temperatures, hottest),
        **beyond(LOST, temperatures),
    }
