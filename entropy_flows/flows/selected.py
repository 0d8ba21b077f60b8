"""A pool of cells that were chosen from files: they are labelled with a campaign's engine."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from jobflow import Job
from pymatgen.core import Structure

from entropy_flows.digest import file_sha256
from entropy_flows.explore import ExploreParams
from entropy_flows.flows.pools import PoolMaker
from entropy_flows.jobs import ExploreMaker, IterationContext
from entropy_flows.schemas import Campaign

DIGEST_LENGTH = 8


def selected_pool(campaign: Campaign, file: Path) -> Campaign:
    """Name the labels of a file's cells as a campaign; the same cells are the same campaign.

    Parameters
    ----------
    campaign
        The campaign whose label engine and settings are taken.
    file
        Extended XYZ with the cells.
    """
    name = f"{campaign.name}.selected-{file_sha256(file)[:DIGEST_LENGTH]}"
    explore = ExploreParams(source=(str(file.resolve()),), dynamics=False)
    return campaign.model_copy(update={"name": name, "explore": explore, "iterations": ()})


@dataclass
class SelectedMaker(PoolMaker):
    """Label every cell of a file.

    Parameters
    ----------
    explore
        Reads the file.
    """

    name: str = "selected frames"
    explore: ExploreMaker = field(default_factory=ExploreMaker)

    @classmethod
    def from_campaign(cls, campaign: Campaign, **fields: Any) -> Self:
        """Build it for a campaign that `selected_pool` returned."""
        explore = ExploreMaker(params=campaign.iteration(1).explore)
        return super().from_campaign(campaign, explore=explore, **fields)

    def sources(self, context: IterationContext, seeds: dict[str, Structure]) -> list[Job]:
        """Build the job that reads the file."""
        return [self.explore.make(context, batch=0, seeds=seeds)]
