"""Choose what to label.

Each selector is one file: its parameters, its score and its threshold (`selector.Selector`, where
the loop is). They work in a campaign and on a fixed pool (`pool`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from entropy_flows.lazy import lazy_names

if TYPE_CHECKING:
    from entropy_flows.select.bait import BaitSelector
    from entropy_flows.select.base import (
        Candidate,
        Decision,
        DecisionStream,
        Pool,
        Statistics,
        Verdict,
    )
    from entropy_flows.select.committee import CommitteeSelector, UncertaintySelector
    from entropy_flows.select.direct import DirectSelector
    from entropy_flows.select.facility import FacilitySelector
    from entropy_flows.select.farthest import FarthestSelector
    from entropy_flows.select.greedy import GreedySelector
    from entropy_flows.select.herding import HerdingSelector
    from entropy_flows.select.hybrid import HybridSelector
    from entropy_flows.select.kcentres import KCentresSelector
    from entropy_flows.select.kdpp import KDPPSelector
    from entropy_flows.select.kinds import SELECTORS, SelectParams, make_selector
    from entropy_flows.select.kmeans import KMeansSelector
    from entropy_flows.select.llpr import LastLayerSelector
    from entropy_flows.select.logdet import LogDetSelector
    from entropy_flows.select.random import RandomSelector
    from entropy_flows.select.ranking import InOrder, Ranking
    from entropy_flows.select.selector import DataSet, Proposal, Scorer, Selector
    from entropy_flows.select.targeted import TargetSelector
    from entropy_flows.select.variance import VarianceSelector
else:
    __getattr__, __dir__ = lazy_names(__name__, __file__)

__all__ = [
    "SELECTORS",
    "BaitSelector",
    "Candidate",
    "CommitteeSelector",
    "DataSet",
    "Decision",
    "DecisionStream",
    "DirectSelector",
    "FacilitySelector",
    "FarthestSelector",
    "GreedySelector",
    "HerdingSelector",
    "HybridSelector",
    "InOrder",
    "KCentresSelector",
    "KDPPSelector",
    "KMeansSelector",
    "LastLayerSelector",
    "LogDetSelector",
    "Pool",
    "Proposal",
    "RandomSelector",
    "Ranking",
    "Scorer",
    "SelectParams",
    "Selector",
    "Statistics",
    "TargetSelector",
    "UncertaintySelector",
    "VarianceSelector",
    "Verdict",
    "make_selector",
]
