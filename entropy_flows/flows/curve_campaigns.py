"""The campaigns that belong to a campaign's learning curve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from entropy_flows.flows.learning_curve import curve_of
from entropy_flows.flows.pools import independent_pool, random_pool
from entropy_flows.jobs.curve import SELECTED
from entropy_flows.schemas import Campaign
from entropy_flows.store import CampaignStore


@dataclass(frozen=True)
class CurveCampaigns:
    """A campaign's baseline, its independent test and its learning curve, as campaigns."""

    size: int
    """Labels of the campaign's own pool, and of the baseline."""
    random: Campaign
    """The baseline: random molecular dynamics."""
    independent: Campaign
    """The independent test."""
    curve: Campaign
    """The trainings on growing sets."""
    pools: dict[str, str]
    """Name of a pool → name of its campaign."""

    @classmethod
    def of(cls, store: CampaignStore, campaign: Campaign) -> Self:
        """Derive them from a campaign and the labels that it has now."""
        size = sum(1 for _ in store.labels(converged=True, **SELECTED))
        random = random_pool(campaign, size)
        independent = independent_pool(campaign)
        pools = {"entropy": campaign.name, "random": random.name, "independent": independent.name}
        return cls(size, random, independent, curve_of(campaign, pools), pools)
