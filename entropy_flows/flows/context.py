"""What all iterations of a campaign have in common."""

from __future__ import annotations

from dataclasses import dataclass

from pymatgen.core import Structure

from entropy_flows.entropy import DatasetParams
from entropy_flows.jobs import PlanMaker
from entropy_flows.label import OutlierParams, hash_engine


@dataclass(frozen=True)
class CampaignContext:
    """The constants of a campaign: its flow's Maker holds each, and hands this to whatever makes jobs."""

    name: str
    """Of the campaign, in the database."""
    seeds: dict[str, Structure]
    """Phase → seed cell."""
    seed: int
    """Everything random follows from it."""
    dataset: DatasetParams
    """Fingerprint and regularisation of the covariance."""
    label: PlanMaker
    """Plans labels, with the engine in it."""
    outliers: OutlierParams
    """When a label is flagged instead of trained on."""

    @property
    def phases(self) -> list[str]:
        """Names of the phases."""
        return list(self.seeds)

    @property
    def engine_hash(self) -> str:
        """Hash of the label engine's settings."""
        return hash_engine(self.label.engine)
