"""Pydantic documents: the campaign file, and one document a stage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from entropy_flows.lazy import lazy_names

if TYPE_CHECKING:
    from entropy_flows.schemas.agnostic import AdmitDoc, AgnosticParams, AscendDoc, WindowsParams
    from entropy_flows.schemas.campaign import (
        Campaign,
        IterationSettings,
        StopParams,
        load_campaign,
    )
    from entropy_flows.schemas.curve import CurveParams
    from entropy_flows.schemas.documents import (
        CalculatedLabels,
        CompileDoc,
        ContinuesDoc,
        EvaluateDoc,
        ExploreDoc,
        LabelDoc,
        MemberDoc,
        PhysicsDoc,
        PointDoc,
        RefineDoc,
        RegisterDoc,
        RetrainDoc,
        RunDoc,
        SelectDoc,
        StateDoc,
        TrainDoc,
    )
    from entropy_flows.schemas.files import AnyCampaign, load_agnostic, load_settings, schema_of
else:
    __getattr__, __dir__ = lazy_names(__name__, __file__)

__all__ = [
    "AdmitDoc",
    "AgnosticParams",
    "AnyCampaign",
    "AscendDoc",
    "CalculatedLabels",
    "Campaign",
    "CompileDoc",
    "ContinuesDoc",
    "CurveParams",
    "EvaluateDoc",
    "ExploreDoc",
    "IterationSettings",
    "LabelDoc",
    "MemberDoc",
    "PhysicsDoc",
    "PointDoc",
    "RefineDoc",
    "RegisterDoc",
    "RetrainDoc",
    "RunDoc",
    "SelectDoc",
    "StateDoc",
    "StopParams",
    "TrainDoc",
    "WindowsParams",
    "load_agnostic",
    "load_campaign",
    "load_settings",
    "schema_of",
]
