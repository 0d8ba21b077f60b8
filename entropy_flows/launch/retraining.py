"""Submit a further training of an iteration's model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jobflow import Flow, Job

from entropy_flows.flows import ActiveLearningMaker
from entropy_flows.flows.queues import Queues
from entropy_flows.jobs import RetrainMaker
from entropy_flows.jobs.engine import same_engine
from entropy_flows.launch.job_states import ENDED_STATES
from entropy_flows.launch.manager import workflow_manager
from entropy_flows.launch.seeds import campaign_seeds
from entropy_flows.launch.steering import take_settings
from entropy_flows.launch.submit import with_modules
from entropy_flows.schemas.named_code import modules_folder
from entropy_flows.store import CampaignStore

if TYPE_CHECKING:
    from entropy_flows.schemas import Campaign


@dataclass(frozen=True)
class Retraining:
    """A further training that was asked for.

    Attributes
    ----------
    iteration, version
        The model.
    is_new
        False if there is such a job already that has not ended.
    continues
        Whether the campaign may go on from it: no later iteration has begun.
    """

    iteration: int
    version: int
    is_new: bool
    continues: bool


def submit_retraining(
    store: CampaignStore, campaign: Campaign, base: Path, iteration: int | None = None
) -> Retraining:
    """Add a job that trains an iteration's model again, with the file's settings as they are now.

    Parameters
    ----------
    store
        The campaign.
    campaign
        What its file says.
    base
        Folder of the campaign file.
    iteration
        Number of the iteration; None for the last one that has an evaluation.

    Raises
    ------
    ValueError
        If the iteration has no evaluated model.
    StoreError
        If the file changes what may not change.
    """
    manager = workflow_manager(store)
    manager.prepare()
    take_settings(store, campaign, base, manager)
    evaluated = [row["iteration"] for row in store.iterations() if row.get("evaluate")]
    chosen = max(evaluated, default=0) if iteration is None else iteration
    if chosen not in evaluated:
        listed = ", ".join(map(str, evaluated)) or "none has any yet"
        raise ValueError(
            f"iteration {chosen} has no model to train again; those that have: {listed}"
        )
    begun = max(row["iteration"] for row in store.iterations())
    earlier = manager.jobs(store.name, retrain=str(chosen))
    ended = {job.uuid for job in earlier if job.state in ENDED_STATES}
    unfinished = {job.uuid for job in earlier} - ended
    if not unfinished:
        store.delete_failures(list(ended))
    trained = {row["version"] for row in store.versions(chosen)}
    version = 2
    job = _job(store, campaign, base, chosen, version)
    # a job that has ended without a model has failed; a fork has models without their jobs
    while job.uuid not in unfinished and (version in trained or job.uuid in ended):
        version += 1
        job = _job(store, campaign, base, chosen, version)
    flow = Flow([job], name=f"{store.name}: retrain {chosen}")
    Queues.from_file(campaign).apply(flow)
    flow.update_metadata({"campaign": store.name, "retrain": str(chosen)}, dynamic=True)
    with_modules(flow, modules_folder(campaign, base))
    # one that has not ended is there, or is what an interrupted command has left of it
    is_new = manager.add_flow(flow)
    return Retraining(chosen, version, is_new, continues=begun == chosen)


def _job(store: CampaignStore, campaign: Campaign, base: Path, iteration: int, version: int) -> Job:
    """Build the job of a version."""
    maker = ActiveLearningMaker.from_campaign(campaign)
    same_engine(store, maker.engine)
    trained = store.model(iteration)
    assert trained is not None, "an evaluated iteration has a model"
    in_use = store.model_in_use()
    assert in_use is not None, "an evaluated campaign has a model"
    cells = {name: seed.cell for name, seed in campaign_seeds(campaign, base).items()}
    retrain = RetrainMaker(params=campaign.iteration(iteration).train)
    return retrain.make(
        maker.context(store.name, trained["parent"], iteration),
        batch=version,
        parent=trained["parent"],
        replaced=in_use["reference"],
        exclusions=len(store.exclusions()),
        seeds=cells,
    )
