"""A Maker a stage: unpack, one call into the core, make a document."""

from entropy_flows.jobs.anchor import AnchorMaker
from entropy_flows.jobs.evaluate import EvaluateMaker
from entropy_flows.jobs.explore import ExploreMaker
from entropy_flows.jobs.label import LabelMaker, PlanMaker
from entropy_flows.jobs.member import MemberMaker
from entropy_flows.jobs.physics import PhysicsMaker
from entropy_flows.jobs.refine import RefineMaker
from entropy_flows.jobs.select import SelectMaker
from entropy_flows.jobs.top_up import TopUpMaker
from entropy_flows.jobs.train import TrainMaker

__all__ = [
    "AnchorMaker",
    "EvaluateMaker",
    "ExploreMaker",
    "LabelMaker",
    "MemberMaker",
    "PhysicsMaker",
    "PlanMaker",
    "RefineMaker",
    "SelectMaker",
    "TopUpMaker",
    "TrainMaker",
]
