"""Choose what to label: keep only what adds information to the whole data set (paper A, section 2.4.2)."""

from entropy_flows.select.base import Candidate, Decision, Selector, Verdict
from entropy_flows.select.greedy import GreedySelector
from entropy_flows.select.logdet import LogDetSelector
from entropy_flows.select.params import SelectParams, make_selector
from entropy_flows.select.random import RandomSelector

__all__ = [
    "Candidate",
    "Decision",
    "GreedySelector",
    "LogDetSelector",
    "RandomSelector",
    "SelectParams",
    "Selector",
    "Verdict",
    "make_selector",
]
