"""The job that registers a campaign, for a flow that nobody has submitted."""

from __future__ import annotations

from dataclasses import dataclass

from entropy_flows.jobs.common import StageMaker, campaign_job
from entropy_flows.schemas import Campaign, RegisterDoc
from entropy_flows.store import CampaignStore


@dataclass
class RegisterMaker(StageMaker):
    """Register a campaign, its base model and its student in the database.

    Parameters
    ----------
    name
        Job name.
    """

    name: str = "register"

    @campaign_job(RegisterDoc)
    def make(self, campaign: str, *, iteration: int, settings: Campaign) -> RegisterDoc:
        """Register what is not registered yet.

        Parameters
        ----------
        campaign
            Name of the campaign.
        iteration
            Number of the first iteration.
        settings
            Settings of the campaign, with models as names or as files that this worker reads.

        Raises
        ------
        StoreError
            If a campaign of this name has other settings.
        """
        store = CampaignStore.open(campaign)
        store.create(settings)
        model = store.save_model(0, settings.base_model, role="base")
        parent = model
        if settings.student is not None:
            parent = store.save_model(-1, settings.student, role="student")
        store.set_state("running")
        return RegisterDoc(iteration=iteration, model=model, parent=parent)
