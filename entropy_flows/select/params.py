"""Parameters of the selection stage and the selector they name."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from entropy_flows.params import Params
from entropy_flows.select.base import Selector
from entropy_flows.select.greedy import GreedySelector
from entropy_flows.select.logdet import LogDetSelector
from entropy_flows.select.random import RandomSelector


class SelectParams(Params):
    """Which selector, and its threshold (paper A, section 3.3)."""

    selector: Literal["logdet", "greedy", "random"] = "logdet"
    """logdet: the paper's filter. greedy: the largest gain first, with the pool in memory. random: no filter, as in the
    paper's first generation and its baseline."""
    theta_min: float = Field(1e-3, gt=0)
    """Smallest gain ΔH worth a label."""
    near_factor: float = Field(0.5, ge=0, le=1)
    """Candidates between near_factor × theta_min and theta_min go to refinement."""
    order: Literal["explored", "shuffled"] = "shuffled"
    """Order of judging. explored: as they were found, which is the paper's. shuffled: at random, so that a budget
    smaller than the pool is spread over all conditions instead of being spent on the first."""
    max_labels: int | None = Field(None, ge=1)
    """Most labels of one iteration, anchors included; None leaves the campaign's budget as the only limit."""

    def judging_order(self, n: int, rng: np.random.Generator) -> list[int]:
        """Order in which n candidates are judged. The random selector's is shuffled, whatever `order` says."""
        explored = self.selector == "logdet" and self.order == "explored"
        return list(range(n)) if explored else rng.permutation(n).tolist()


def make_selector(params: SelectParams) -> Selector:
    """The selector that `params.selector` names."""
    if params.selector == "random":
        return RandomSelector()
    if params.selector == "greedy":
        return GreedySelector(params.theta_min)
    return LogDetSelector(params.theta_min, params.near_factor)
