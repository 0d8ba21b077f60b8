"""Register a campaign and put its first iteration on the launchpad."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from jobflow import Flow
from pymatgen.core import Structure

from entropy_flows.flows import ActiveLearningMaker, RevEMMaker
from entropy_flows.flows.queues import Queues
from entropy_flows.jobs import PhysicsMaker
from entropy_flows.jobs.engine import same_engine
from entropy_flows.jobs.register import locate_model
from entropy_flows.launch.job_states import ENDED_STATES
from entropy_flows.launch.manager import workflow_manager
from entropy_flows.launch.seeds import campaign_seeds
from entropy_flows.potentials import check_elements
from entropy_flows.schemas import AgnosticParams, AnyCampaign, Campaign
from entropy_flows.schemas.named_code import modules_folder
from entropy_flows.store import CampaignStore

if TYPE_CHECKING:
    from entropy_flows.jobs.physics import CheckedModel

CLAIM_SECONDS = 15
"""For which a submission that goes on keeps others from submitting the same campaign."""


def build_flow(
    store: CampaignStore, campaign: Campaign, base: Path, maker: ActiveLearningMaker | None = None
) -> Flow:
    """The campaign's first iteration, its base model registered.

    Parameters
    ----------
    store
        Where the campaign lives.
    campaign
        What to run.
    base
        Folder that the campaign file's relative paths start from.
    maker
        The Makers to use; None takes those that the campaign describes.

    Raises
    ------
    ValueError, StoreError
        If a seed or model will not do, or the label engine has other settings than the campaign's
        labels.
    """
    seeds = {name: seed.cell for name, seed in campaign_seeds(campaign, base).items()}
    model = locate_model(campaign.base_model, base)
    check_elements(model, campaign.elements, "base_model")
    student = None
    if campaign.student is not None:
        path = locate_model(campaign.student, base)
        check_elements(path, campaign.elements, "student")
        student = store.save_model(-1, path, role="student")
    reference = store.save_model(0, model, role="base")
    maker = maker or ActiveLearningMaker.from_campaign(campaign)
    same_engine(store, maker.engine)
    flow = maker.make(seeds, campaign=campaign.name, model=reference, student=student)
    flow.update_metadata({"campaign": campaign.name}, dynamic=True)
    return flow


def agnostic_flow(store: CampaignStore, settings: AgnosticParams) -> Flow:
    """The flow of a data set without physics.

    Raises
    ------
    StoreError
        If the label engine has other settings than the labels that are there.
    """
    maker = RevEMMaker.from_settings(settings)
    if maker.engine is not None:
        same_engine(store, maker.engine)
    flow = maker.make(settings.name, settings.element)
    flow.update_metadata({"campaign": settings.name}, dynamic=True)
    return flow


def submit(
    store: CampaignStore,
    campaign: AnyCampaign,
    base: Path,
    maker: ActiveLearningMaker | None = None,
) -> bool:
    """Register the campaign and add its first iteration to the launchpad, once; arguments as in `build_flow`.

    A data set without physics is added as a whole.

    Returns
    -------
    bool
        False if it was submitted before; nothing is added then.
    """
    store.create(campaign)
    manager = workflow_manager()
    manager.prepare()
    if isinstance(campaign, AgnosticParams):
        flow = agnostic_flow(store, campaign)
    else:
        flow = build_flow(store, campaign, base, maker)
    _with_modules(flow, modules_folder(campaign, base))
    while not _claimed(store) and not manager.has_flow(flow):
        time.sleep(1)  # another process submits it now, or died doing so
    if not manager.add_flow(flow):
        return False
    store.set_state("running")
    return True


def submit_physics(
    store: CampaignStore,
    campaign: Campaign,
    subject: CheckedModel,
    cells: dict[str, Structure],
    base: Path,
) -> bool:
    """Add a job that makes those physics checks of a model that are not there.

    Parameters
    ----------
    store
        The campaign, registered.
    campaign
        Its file as it is now, whose section `physics` may have changed.
    subject
        The model.
    cells
        Phase → seed cell.
    base
        Folder of the campaign file.

    Returns
    -------
    bool
        False if there is such a job already that has not ended; nothing is added then.
    """
    manager = workflow_manager()
    manager.prepare()
    earlier = manager.jobs(store.name, physics=subject.reference)
    if any(job.state not in ENDED_STATES for job in earlier):
        return False
    store.delete_failures([job.uuid for job in earlier])
    last = max([1, *(document["iteration"] for document in store.iterations())])
    made = PhysicsMaker(params=campaign.physics).make(store.name, last, subject.role, cells)
    flow = Flow([made], name=f"{store.name}: physics")
    Queues.from_file(campaign).apply(flow)
    flow.update_metadata({"campaign": store.name, "physics": subject.reference}, dynamic=True)
    _with_modules(flow, modules_folder(campaign, base))
    return manager.add_flow(flow)


def _with_modules(flow: Flow, folder: str | None) -> None:
    """Tell all jobs, also those that they add, where modules of the user's own lie."""
    if folder is not None:
        flow.update_metadata({"modules": folder}, dynamic=True)


def _claimed(store: CampaignStore) -> bool:
    """Whether this process may submit: nobody else began to a moment ago."""
    now = datetime.now(UTC)
    free = {
        "$or": [
            {"submitted": {"$exists": False}},
            {"submitted": {"$lt": now - timedelta(seconds=CLAIM_SECONDS)}},
        ]
    }
    query = {"name": store.name, **free}
    return (
        store.database["campaigns"].find_one_and_update(query, {"$set": {"submitted": now}})
        is not None
    )
