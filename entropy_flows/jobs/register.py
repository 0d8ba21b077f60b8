"""The job that registers a campaign, for a flow that nobody has submitted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from entropy_flows.jobs.common import StageMaker, campaign_job
from entropy_flows.potentials import file_suffix, split_model, with_arguments
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


def locate_model(model: str, base: Path) -> str:
    """Return a model's name, or its path if it is a file.

    The path is relative to `base`, or to the models shipped with the package. Keyword arguments
    stay behind the name.

    Raises
    ------
    ValueError
        If it looks like a file and there is none.
    """
    name, arguments = split_model(model)
    if not file_suffix(model):
        return model
    shipped = Path(__file__).parents[1] / "models" / name.removeprefix("shipped:")
    path = shipped if name.startswith("shipped:") else base / name
    if not path.is_file():
        raise ValueError(f"model file {path} does not exist")
    return with_arguments(path.resolve(), arguments)
