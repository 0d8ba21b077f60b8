"""Take over an edited campaign file, and find out what is to run next.

    no ledger entry, no job that runs    the campaign may begin anew with any settings
    an iteration failed                  it is made again with the changed settings, see `_redo`
    it has ended                         the next iteration is made, if its limits allow one

Each step can be interrupted: the next submission finds what is missing by what is there.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from jobflow import Flow

from entropy_flows.flows import ActiveLearningMaker
from entropy_flows.flows.steering import changed_maker, described_settings
from entropy_flows.flows.succession import decide_after, submitted_iteration
from entropy_flows.jobs.checkpoint import forget_iteration
from entropy_flows.launch.job_states import (
    ENDED_STATES,
    TAKEN_STATES,
    UNFINISHED_STATES,
    job_line,
)
from entropy_flows.launch.manager import WorkflowManager
from entropy_flows.launch.seeds import campaign_seeds
from entropy_flows.processes import author
from entropy_flows.schemas import Campaign, EvaluateDoc
from entropy_flows.schemas.changes import Difference, differences
from entropy_flows.store import CampaignStore, StoreError
from entropy_flows.store.deletion import delete_campaign, delete_iteration, delete_outputs
from entropy_flows.store.settings_changes import (
    Progress,
    SettingsChange,
    change_settings,
    changes_of,
    current_document,
    iteration_settings,
    refused_keys,
    stored_campaign,
)

BEGINS_ANEW = "it begins anew with other settings"
"""Message of a campaign that is deleted to be registered again."""
SEARCHING = {"explore", "select", "refine", "anchors", "phases", "local_fingerprint"}
"""Sections that decide which candidates there are, and which of them are accepted."""
TRAINING_STAGES = ("train", "member", "compile", "evaluate", "advance")


def take_settings(
    store: CampaignStore, campaign: Campaign, base: Path, manager: WorkflowManager
) -> list[SettingsChange]:
    """Register a campaign, or make its settings those of the file.

    Parameters
    ----------
    store
        The campaign's collections.
    campaign
        What the file says.
    base
        Folder that the file's relative paths start from.
    manager
        The workflow manager that has its jobs.

    Returns
    -------
    list
        The keys that changed.

    Raises
    ------
    StoreError
        If a key may not change any more.
    """
    if not store.exists():
        store.create(campaign)
        return []
    document = store.document()
    if (document["state"], document["message"]) == ("deleting", BEGINS_ANEW):
        erase(store, manager, BEGINS_ANEW)
        store.create(campaign)
        return []
    document = current_document(store)
    changed = differences(stored_campaign(store, document), campaign)
    if changed and _may_begin_anew(store, manager, changed):
        return begin_anew(store, campaign, manager, changed)
    cells = None
    if any(change.key == "phases" for change in changed):
        seeds = campaign_seeds(campaign, base)
        cells = {name: seed.cell.as_dict() for name, seed in seeds.items()}
    rows = change_settings(store, campaign, cells)
    store.note_version()
    return rows


def _may_begin_anew(
    store: CampaignStore, manager: WorkflowManager, changed: list[Difference]
) -> bool:
    """Tell whether a campaign has run nothing that a beginning with other settings would lose.

    What its jobs have explored is kept where the changes concern only what comes after.
    """
    if store.database["structures"].find_one({"campaign": store.name}) is not None:
        return False
    states = {job.state for job in manager.jobs(store.name)}
    if states.intersection(TAKEN_STATES):
        return False
    return states <= set(UNFINISHED_STATES) or bool(refused_keys(store, changed))


def begin_anew(
    store: CampaignStore, campaign: Campaign, manager: WorkflowManager, changed: list[Difference]
) -> list[SettingsChange]:
    """Register a campaign that has run nothing with other settings."""
    erase(store, manager, BEGINS_ANEW)
    store.create(campaign)
    now = datetime.now(UTC)
    return [
        SettingsChange(change.key, change.old, change.new, 1, author(), now) for change in changed
    ]


def refuse_running(store: CampaignStore, manager: WorkflowManager) -> None:
    """Raise a StoreError if a job of a campaign runs, or a queue may start one."""
    counts = manager.job_counts(store.name)
    running = {state: counts[state] for state in TAKEN_STATES if counts.get(state)}
    if running:
        raise StoreError(
            f"campaign {store.name!r} is running ({job_line(running)}): let its jobs end, or stop "
            f"them by `entropy-flows cancel --now`; `repair` if their workers are dead"
        )


def erase(store: CampaignStore, manager: WorkflowManager, reason: str | None = None) -> None:
    """Delete a campaign of which nothing runs: jobs, outputs, documents, files.

    Interrupted, it is completed by the next call.

    Parameters
    ----------
    store
        The campaign.
    manager
        The workflow manager that has its jobs.
    reason
        Why, in one line.
    """
    store.set_state("deleting", reason)
    uuids = manager.job_uuids(store.name)
    delete_outputs(store, uuids)
    manager.delete(store.name)
    delete_campaign(store)


def next_flow(
    store: CampaignStore, campaign: Campaign, base: Path, maker: ActiveLearningMaker
) -> Flow | None:
    """Build the flow of the iteration that follows the last one with a decision.

    Returns
    -------
    Flow or None
        None if the campaign ends there by its limits, which is recorded.
    """
    progress = Progress.of(store)
    last = progress.evaluated
    current = changed_maker(maker, store)
    (row,) = [row for row in store.iterations() if row["iteration"] == last]
    evaluated = EvaluateDoc.model_validate(row["evaluate"])
    if progress.begun == last:
        decision = decide_after(current, store, last, evaluated, _searches_otherwise(store, last))
        if decision.state != "running":
            store.set_state(decision.state, decision.message)
            return None
    seeds = {name: seed.cell for name, seed in campaign_seeds(campaign, base).items()}
    model = store.continues_with(last, evaluated.continues.model)
    return submitted_iteration(maker, store, last + 1, model, seeds)


def _searches_otherwise(store: CampaignStore, last: int) -> bool:
    """Tell whether what was changed since an iteration decides which candidates there are."""
    changes = changes_of(store.document())
    sections = {
        section
        for change in changes
        if change.iteration is not None and change.iteration > last
        for section in change.difference.sections
    }
    return bool(sections & SEARCHING)


def unfinished_jobs(manager: WorkflowManager, campaign: str) -> set[str]:
    """Return the identifiers of a campaign's jobs that have not ended, physics checks apart."""
    jobs = manager.jobs(campaign)
    return {job.uuid for job in jobs if job.state not in ENDED_STATES and job.name != "physics"}


def redo_failed(
    store: CampaignStore, maker: ActiveLearningMaker, manager: WorkflowManager, flow: Flow
) -> bool:
    """Take a failed iteration's jobs away if its settings were changed since.

    If nothing of it is in the ledger, all of it is made again. Else what is labelled stays, and is
    trained on with the changed section `train`.

    Returns
    -------
    bool
        Whether the iteration's flow is to be built and added again.
    """
    progress = Progress.of(store)
    iteration = progress.begun
    is_changed = any(change.iteration == iteration for change in changes_of(store.document()))
    if not progress.has_failed_in_iteration or not is_changed:
        return False
    before = iteration_settings(store, iteration) or {}
    after = described_settings(changed_maker(maker, store), iteration)
    if progress.in_ledger:
        sections = {**before["sections"], "train": after["sections"]["train"]}
        after = {**before, "sections": sections}
    if all(before.get(name) == value for name, value in after.items()):
        return False
    manager.delete(store.name, [job.uuid for job, _ in flow.iterflow()])
    if progress.in_ledger:
        failed = store.failures(iteration=iteration, stage={"$in": TRAINING_STAGES})
        store.delete_failures([row["uuid"] for row in failed])
        store.record(iteration, **{"plan.settings": after})
    else:
        delete_iteration(store, iteration)
    forget_iteration(store.name, iteration)
    return True
