"""A Maker for each stage: unpack, one call into the core, make a document."""

from __future__ import annotations

from typing import TYPE_CHECKING

from entropy_flows.lazy import lazy_names

if TYPE_CHECKING:
    from entropy_flows.jobs.admit import AdmitMaker
    from entropy_flows.jobs.anchor import AnchorMaker
    from entropy_flows.jobs.approve import ApproveMaker
    from entropy_flows.jobs.ascend import AscendMaker
    from entropy_flows.jobs.compile import CompileMaker
    from entropy_flows.jobs.context import IterationContext
    from entropy_flows.jobs.curve import PointMaker
    from entropy_flows.jobs.evaluate import EvaluateMaker
    from entropy_flows.jobs.explore import ExploreMaker
    from entropy_flows.jobs.finish import FinishCurveMaker, FinishDatasetMaker, FinishPoolMaker
    from entropy_flows.jobs.gather import GatherMaker, SubtotalMaker
    from entropy_flows.jobs.independent import IndependentMaker
    from entropy_flows.jobs.label import LabelMaker
    from entropy_flows.jobs.member import MemberMaker
    from entropy_flows.jobs.physics import PhysicsMaker
    from entropy_flows.jobs.plan import PlanMaker
    from entropy_flows.jobs.refine import RefineMaker
    from entropy_flows.jobs.register import RegisterMaker
    from entropy_flows.jobs.relabel import RelabelMaker
    from entropy_flows.jobs.retrain import RetrainMaker
    from entropy_flows.jobs.select import SelectMaker
    from entropy_flows.jobs.top_up import TopUpMaker
    from entropy_flows.jobs.train import TrainMaker
else:
    __getattr__, __dir__ = lazy_names(__name__, __file__)

__all__ = [
    "AdmitMaker",
    "AnchorMaker",
    "ApproveMaker",
    "AscendMaker",
    "CompileMaker",
    "EvaluateMaker",
    "ExploreMaker",
    "FinishCurveMaker",
    "FinishDatasetMaker",
    "FinishPoolMaker",
    "GatherMaker",
    "IndependentMaker",
    "IterationContext",
    "LabelMaker",
    "MemberMaker",
    "PhysicsMaker",
    "PlanMaker",
    "PointMaker",
    "RefineMaker",
    "RegisterMaker",
    "RelabelMaker",
    "RetrainMaker",
    "SelectMaker",
    "SubtotalMaker",
    "TopUpMaker",
    "TrainMaker",
]
