"""Pydantic documents: the campaign file, and one document a stage."""

from entropy_flows.schemas.campaign import Campaign, IterationSettings, StopParams, load_campaign
from entropy_flows.schemas.curve import CurveParams, PointDoc
from entropy_flows.schemas.documents import (
    EvaluateDoc,
    ExploreDoc,
    LabelDoc,
    MemberDoc,
    PhysicsDoc,
    RefineDoc,
    RunDoc,
    SelectDoc,
    TrainDoc,
)

__all__ = [
    "Campaign",
    "CurveParams",
    "EvaluateDoc",
    "ExploreDoc",
    "IterationSettings",
    "LabelDoc",
    "MemberDoc",
    "PhysicsDoc",
    "PointDoc",
    "RefineDoc",
    "RunDoc",
    "SelectDoc",
    "StopParams",
    "TrainDoc",
    "load_campaign",
]
