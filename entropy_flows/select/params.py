"""Parameters of the selection stage and the selector they name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import numpy as np
from pydantic import Field

from entropy_flows.params import Params
from entropy_flows.select.base import Selector
from entropy_flows.select.committee import CommitteeSelector
from entropy_flows.select.farthest import FarthestSelector
from entropy_flows.select.greedy import GreedySelector
from entropy_flows.select.hybrid import HybridSelector
from entropy_flows.select.kcentres import KCentresSelector
from entropy_flows.select.kmeans import KMeansSelector
from entropy_flows.select.logdet import LogDetSelector
from entropy_flows.select.random import RandomSelector
from entropy_flows.select.skmatter import SkmatterSelector

Name = Literal[
    "logdet", "greedy", "farthest", "kcentres", "kmeans", "committee", "hybrid", "random", "fps", "cur"
]  # fmt: skip
NAMES: tuple[str, ...] = get_args(Name)


class SelectParams(Params):
    """Which selector, and what it needs to know (Wang 2026, section 3.3; Khan 2026)."""

    selector: Name = "logdet"
    """logdet: the paper's filter. greedy: the largest gain first, with the pool in memory. farthest, kcentres, kmeans:
    by distance. committee: the most uncertain. hybrid: uncertain and far. random: no filter, as in
    the paper's first
    generation and its baseline. fps, cur: scikit-matter's."""
    theta_min: float | None = Field(1e-3, gt=0)
    """Smallest gain ΔH worth a label: of logdet and greedy, and of refinement and top-ups with any. None: there is no
    such limit, and greedy spends all of its budget; for comparing sets of one size."""
    near_factor: float = Field(0.5, ge=0, le=1)
    """Candidates between near_factor × theta_min and theta_min go to refinement (logdet only)."""
    clusters: int = Field(15, ge=1)
    """k of kmeans."""
    alpha: float = Field(0.6, ge=0, le=1)
    """Share of the uncertainty in hybrid's score."""
    uncertainty: Literal["forces", "energy"] = "forces"
    """Prediction whose spread over a campaign's committee is a candidate's uncertainty; see
    `evaluate.committee`.
    """
    order: Literal["explored", "shuffled"] = "shuffled"
    """Order of judging. explored: as they were found, which is the paper's. shuffled: at random, so that a budget
    smaller than the pool is spread over all conditions instead of being spent on the first."""
    max_labels: int | None = Field(None, ge=1)
    """Most labels of one iteration, anchors included; None leaves the campaign's budget as the
    only limit.
    """

    @property
    def least_gain(self) -> float:
        """What refinement and top-ups have to gain."""
        return self.theta_min or 0.0

    @property
    def needs_committee(self) -> bool:
        """Whether it goes by uncertainties."""
        return self.selector in ("committee", "hybrid")

    @property
    def needs_centres(self) -> bool:
        """Whether it measures distances to the cells in the data set."""
        return self.selector in ("farthest", "kcentres", "kmeans", "hybrid")

    def judging_order(self, n: int, rng: np.random.Generator) -> list[int]:
        """Order in which n candidates are judged; only logdet knows another than a shuffled one."""
        explored = self.selector == "logdet" and self.order == "explored"
        return list(range(n)) if explored else rng.permutation(n).tolist()


def make_selector(params: SelectParams) -> Selector:
    """The selector that `params.selector` names."""
    limit = -np.inf if params.theta_min is None else params.theta_min
    made: dict[str, Callable[[], Selector]] = {
        "logdet": lambda: LogDetSelector(limit, params.near_factor),
        "greedy": lambda: GreedySelector(limit),
        "farthest": FarthestSelector,
        "kcentres": KCentresSelector,
        "kmeans": lambda: KMeansSelector(params.clusters),
        "committee": CommitteeSelector,
        "hybrid": lambda: HybridSelector(params.alpha),
        "random": RandomSelector,
        "fps": lambda: SkmatterSelector("fps"),
        "cur": lambda: SkmatterSelector("cur"),
    }
    return made[params.selector]()
