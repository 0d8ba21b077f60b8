"""Learning curves: what to train on what."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from entropy_flows.params import Params
from entropy_flows.train import AnyTrainParams

Method = Literal["entropy", "random", "mixed", "campaign"]
IN_DISTRIBUTION = "in-distribution"
"""Test on cells held out of the entropy pool."""
INDEPENDENT_TEST = "independent"
"""Test on relaxed crystals and plain dynamics from them."""
COMMON_TEST = "common"
"""Test on cells held out of another campaign's pool, for curves that are compared."""


class CurveParams(Params):
    """The points of a learning curve; the defaults are Wang 2026's (section 4.4), but for sizes."""

    sizes: tuple[Annotated[int, Field(ge=1)], ...] = Field((25, 50, 100, 200), min_length=1)
    """Training cells N."""
    methods: tuple[Method, ...] = Field(("entropy", "random", "mixed"), min_length=1)
    """entropy: the campaign's selected cells, without anchors; random: of the baseline; mixed:
    both; campaign: all that the campaign trains on, with anchors and imported cells.
    """
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field((42, 123, 456), min_length=1)
    """Each governs the draw of the cells and the training's shuffle; the sets are not nested."""
    near_share: float = Field(0.2, ge=0, le=1)
    """Share of the mixed pool that is from the baseline."""
    max_force: float = Field(2.0, gt=0)
    """Largest force (eV/Å) of the baseline's cells in the mixed pool."""
    train: AnyTrainParams | None = None
    """Recipe; None takes the campaign's first."""

    def points(self) -> list[tuple[str, int, int]]:
        """Return (method, N, seed) of each point, small sets first."""
        sizes = sorted(set(self.sizes))
        return [
            (method, size, seed) for size in sizes for seed in self.seeds for method in self.methods
        ]
