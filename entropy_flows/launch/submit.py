"""Register a campaign and give its first iteration to the workflow manager."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from jobflow import Flow
from pymatgen.core import Structure

from entropy_flows.flows import ActiveLearningMaker, RevEMMaker
from entropy_flows.flows.description import with_elements
from entropy_flows.flows.queues import Queues
from entropy_flows.flows.succession import relabelling_flow, submitted_iteration
from entropy_flows.jobs import PhysicsMaker
from entropy_flows.jobs.engine import same_engine
from entropy_flows.launch.job_states import ENDED_STATES
from entropy_flows.launch.manager import (
    ManagerChoice,
    WorkflowManager,
    manager_choice,
    workflow_manager,
)
from entropy_flows.launch.seeds import campaign_seeds
from entropy_flows.launch.steering import next_flow, redo_failed, take_settings, unfinished_jobs
from entropy_flows.potentials import check_elements, locate_model
from entropy_flows.schemas import AgnosticParams, Campaign
from entropy_flows.schemas.named_code import modules_folder
from entropy_flows.store import CampaignStore
from entropy_flows.store.settings_changes import Progress, SettingsChange

if TYPE_CHECKING:
    from entropy_flows.jobs.physics import CheckedModel
    from entropy_flows.schemas import AnyCampaign

CLAIM_SECONDS = 15
"""Time for which one submission keeps others from submitting the same campaign."""


def build_flow(
    store: CampaignStore, campaign: Campaign, base: Path, maker: ActiveLearningMaker | None = None
) -> Flow:
    """Build the flow that a campaign begins with, and register its base model.

    It is the first iteration. A fork whose cells are labelled again begins with their labels.

    Parameters
    ----------
    store
        The campaign's collections.
    campaign
        What the campaign file says.
    base
        Folder that the campaign file's relative paths start from.
    maker
        The Maker of the flow; None takes the one that the campaign describes.

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
    if isinstance(maker, ActiveLearningMaker):
        last = store.last_relabelled()
        if last is not None:
            return relabelling_flow(maker, store, last, reference, seeds, parent=student)
        return submitted_iteration(maker, store, 1, reference, seeds, parent=student)
    flow = maker.make(seeds, campaign=campaign.name, model=reference, student=student)
    flow.update_metadata({"campaign": campaign.name}, dynamic=True)
    return flow


def agnostic_flow(store: CampaignStore, settings: AgnosticParams) -> Flow:
    """Build the flow of a data set without physics.

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


@dataclass(frozen=True)
class Submission:
    """The result of a submission: whether it added jobs, and what the file has changed.

    Attributes
    ----------
    added
        Whether jobs were added.
    changes
        Keys of the file that were changed since the campaign was submitted last.
    """

    added: bool
    changes: Sequence[SettingsChange] = ()


def submit(
    store: CampaignStore,
    campaign: AnyCampaign,
    base: Path,
    maker: ActiveLearningMaker | None = None,
    choice: ManagerChoice | None = None,
) -> Submission:
    """Register the campaign and add its next iteration to the workflow manager, once.

    What the file has changed since the last submission is taken over. Nothing is added while jobs
    of the campaign are left to run, or if it has ended by its limits. A data set without physics is
    added as a whole. `choice` is the workflow manager that is asked for; the other arguments are
    as in `build_flow`.

    Raises
    ------
    ValueError, StoreError
        As of `build_flow`. Also if a key of the file may not change any more, or the campaign has
        another workflow manager.
    """
    manager = workflow_manager(store, choice)
    if isinstance(campaign, AgnosticParams):
        store.create(campaign)
        _note_manager(store, choice)
        manager.prepare()
        flow: Flow | None = agnostic_flow(store, campaign)
        changes: Sequence[SettingsChange] = ()
    else:
        # first what names a database that this user may only read
        changes = take_settings(store, campaign, base, manager)
        _note_manager(store, choice)
        manager.prepare()
        flow = campaign_flow(store, campaign, base, manager, maker)
    if flow is None:
        return Submission(False, changes)
    with_modules(flow, modules_folder(campaign, base))
    while not _claim(store) and not manager.has_flow(flow):
        # another process submits it now, or died doing so
        time.sleep(1)
    added = manager.add_flow(flow)
    if added or unfinished_jobs(manager, store.name):
        # a submission that was killed may have added the jobs, and not have said so
        store.set_state("running")
    return Submission(added, changes)


def campaign_flow(
    store: CampaignStore,
    campaign: Campaign,
    base: Path,
    manager: WorkflowManager,
    maker: ActiveLearningMaker | None = None,
) -> Flow | None:
    """Build the flow of the iteration that a campaign is to run next.

    Parameters
    ----------
    store, campaign, base, maker
        As in `build_flow`.
    manager
        The workflow manager that has the campaign's jobs.

    Returns
    -------
    Flow or None
        None if jobs are left that lead on, or the campaign has ended.
    """
    maker = maker or ActiveLearningMaker.from_campaign(campaign)
    if not isinstance(maker, ActiveLearningMaker):
        return build_flow(store, campaign, base, maker)
    maker = with_elements(maker, campaign.elements)
    progress = Progress.of(store)
    left = unfinished_jobs(manager, store.name)
    if left and progress.begun == progress.evaluated > 0:
        # the last job of that iteration decides
        return None
    build = build_flow if progress.evaluated == 0 else next_flow
    flow = build(store, campaign, base, maker)
    if flow is None or left - {job.uuid for job, _ in flow.iterflow()}:
        return None
    if redo_failed(store, maker, manager, flow):
        flow = build(store, campaign, base, maker)
    return flow


def submit_physics(
    store: CampaignStore,
    campaign: Campaign,
    model: CheckedModel,
    cells: dict[str, Structure],
    base: Path,
) -> bool:
    """Add a job that makes the missing physics checks of a model.

    Parameters
    ----------
    store
        The campaign, registered.
    campaign
        Its file as it is now, whose section `physics` may have changed.
    model
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
    manager = workflow_manager(store)
    manager.prepare()
    earlier = manager.jobs(store.name, physics=model.reference)
    if any(job.state not in ENDED_STATES for job in earlier):
        return False
    store.delete_failures([job.uuid for job in earlier])
    last = max([1, *(document["iteration"] for document in store.iterations())])
    job = PhysicsMaker(params=campaign.physics).make(store.name, last, model.role, cells)
    flow = Flow([job], name=f"{store.name}: physics")
    Queues.from_file(campaign).apply(flow)
    flow.update_metadata({"campaign": store.name, "physics": model.reference}, dynamic=True)
    with_modules(flow, modules_folder(campaign, base))
    return manager.add_flow(flow)


def _note_manager(store: CampaignStore, choice: ManagerChoice | None) -> None:
    """Record which workflow manager a campaign has, unless it is the usual one."""
    chosen = manager_choice(store, choice)
    if chosen != ManagerChoice() and store.manager() is None:
        store.set_manager(asdict(chosen))


def with_modules(flow: Flow, folder: str | None) -> None:
    """Give all jobs, also those that they add, the folder of the user's own modules."""
    if folder is not None:
        flow.update_metadata({"modules": folder}, dynamic=True)


def _claim(store: CampaignStore) -> bool:
    """Claim the submission; return False if another process did so a moment ago."""
    now = datetime.now(UTC)
    expired = now - timedelta(seconds=CLAIM_SECONDS)
    is_free = {"$or": [{"submitted": {"$exists": False}}, {"submitted": {"$lt": expired}}]}
    campaigns = store.database["campaigns"]
    claim = {"$set": {"submitted": now}}
    return campaigns.find_one_and_update({"name": store.name, **is_free}, claim) is not None
