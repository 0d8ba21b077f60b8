"""Choose what to label: one idea a file, one protocol (`base.Selector`), in a campaign or on a fixed pool (`pool`)."""

from entropy_flows.select.base import Candidate, Decision, DecisionStream, Pool, Selector, Verdict
from entropy_flows.select.committee import CommitteeSelector
from entropy_flows.select.farthest import FarthestSelector
from entropy_flows.select.greedy import GreedySelector
from entropy_flows.select.hybrid import HybridSelector
from entropy_flows.select.kcentres import KCentresSelector
from entropy_flows.select.kmeans import KMeansSelector
from entropy_flows.select.logdet import LogDetSelector
from entropy_flows.select.params import SelectParams, make_selector
from entropy_flows.select.random import RandomSelector
from entropy_flows.select.skmatter import SkmatterSelector

__all__ = [
    "Candidate",
    "CommitteeSelector",
    "Decision",
    "DecisionStream",
    "FarthestSelector",
    "GreedySelector",
    "HybridSelector",
    "KCentresSelector",
    "KMeansSelector",
    "LogDetSelector",
    "Pool",
    "RandomSelector",
    "SelectParams",
    "Selector",
    "SkmatterSelector",
    "Verdict",
    "make_selector",
]
