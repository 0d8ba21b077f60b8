"""Flows: an iteration, the loop over iterations, pools to compare with, learning curves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from entropy_flows.lazy import lazy_names

if TYPE_CHECKING:
    from entropy_flows.flows.active_learning import ActiveLearningMaker
    from entropy_flows.flows.agnostic import RevEMMaker
    from entropy_flows.flows.curve_campaigns import CurveCampaigns
    from entropy_flows.flows.iteration import IterationMaker
    from entropy_flows.flows.learning_curve import LearningCurveMaker, curve_of
    from entropy_flows.flows.pools import (
        IndependentTestMaker,
        RandomMDMaker,
        independent_pool,
        random_pool,
    )
    from entropy_flows.flows.stopping import StopDecision, decide_to_stop
else:
    __getattr__, __dir__ = lazy_names(__name__, __file__)

__all__ = [
    "ActiveLearningMaker",
    "CurveCampaigns",
    "IndependentTestMaker",
    "IterationMaker",
    "LearningCurveMaker",
    "RandomMDMaker",
    "RevEMMaker",
    "StopDecision",
    "curve_of",
    "decide_to_stop",
    "independent_pool",
    "random_pool",
]
