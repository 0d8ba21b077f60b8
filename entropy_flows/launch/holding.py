"""Keep the jobs of a held campaign from starting, and let them go on.

The campaign's document says what is asked for (`store.holds`). Jobs that could start get another
state, so that no worker takes them:

    pause     READY → PAUSED
    cancel    READY → DEFUSED
    resume    PAUSED, DEFUSED → WAITING, or READY if all before it is done

Jobs that wait for others stay as they are: nothing comes to them. A job that becomes READY later,
because one that ran has ended or has added jobs, is taken by a worker, which looks at the document
and gives it back (`launch.task`). A repair does the same as the commands.

    a command, or a repair    write the document, then the jobs
    a worker                  give the job back, then look at the document again

So whichever of the two acts last sees what the other has done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from entropy_flows.launch.liveness import PATIENCE_SECONDS, Document
from entropy_flows.launch.lock import BusyError, hold_lock
from entropy_flows.launch.waiting import WAITING_FIELDS, must_wait
from entropy_flows.store import CampaignStore
from entropy_flows.store.holds import HoldKind

if TYPE_CHECKING:
    from fireworks import LaunchPad

KEPT_STATES = {HoldKind.PAUSE: "PAUSED", HoldKind.CANCEL: "DEFUSED"}
"""Kind of a hold → state of the jobs that it keeps from starting."""
FIELDS = ("fw_id", "state", *WAITING_FIELDS)


def apply_hold(pad: LaunchPad, store: CampaignStore, patience: float = PATIENCE_SECONDS) -> int:
    """Bring a campaign's jobs into the states that its hold asks for.

    Parameters
    ----------
    pad
        The launchpad.
    store
        The campaign.
    patience
        Seconds after which the holder of a workflow's lock that writes nothing is dead.

    Returns
    -------
    int
        Number of jobs whose state was changed. Those of a workflow that is busy are left to the
        workers, and to the next repair.
    """
    return follow_hold(
        store,
        lambda kind: _keep(pad, store.name, KEPT_STATES[kind], patience),
        lambda: _release(pad, store.name, patience),
    )


def follow_hold(
    store: CampaignStore, keep: Callable[[HoldKind], int], release: Callable[[], int]
) -> int:
    """Do what a campaign's hold asks for until nobody asks for anything else meanwhile.

    Parameters
    ----------
    store
        The campaign.
    keep
        Keeps its jobs from starting, and returns how many it changed.
    release
        Lets them go on, and returns how many it changed.

    Returns
    -------
    int
        Number of jobs whose state was changed.
    """
    changed = 0
    hold = store.hold()
    while hold is not None:
        if hold.keeps_jobs:
            changed += keep(hold.kind)
        else:
            changed += release()
            store.end_resumption(hold)
        after = store.hold()
        if after is None and hold.keeps_jobs:
            # it was resumed meanwhile, perhaps before the last job was kept
            changed += release()
        if after == hold:
            break
        hold = after
    return changed


def _keep(pad: LaunchPad, campaign: str, state: str, patience: float) -> int:
    """Keep a campaign's jobs from starting that could."""
    return _change(pad, campaign, ["READY"], state, patience)


def _release(pad: LaunchPad, campaign: str, patience: float) -> int:
    """Let a campaign's jobs go on that were kept, by a hold or by `lpad`."""
    return _change(pad, campaign, list(KEPT_STATES.values()), "WAITING", patience)


def _change(
    pad: LaunchPad, campaign: str, before: Sequence[str], after: str, patience: float
) -> int:
    """Give a campaign's jobs in some states another one, workflow by workflow."""
    query = {"spec.campaign": campaign, "state": {"$in": [*before, after, "READY"]}}
    jobs = {job["fw_id"]: job for job in pad.fireworks.find(query, FIELDS)}
    changed = 0
    fields = {"fw_states": 1}
    for workflow in list(pad.workflows.find({"nodes": {"$in": list(jobs)}}, fields)):
        recorded = _recorded(workflow)
        ours = [jobs[number] for number in recorded if number in jobs]
        # most workflows have nothing to change, and then nobody has to wait for their lock
        untold = _untold(ours, recorded, after) + _ready_untold(ours, recorded)
        if _to_change(pad, ours, before) or untold:
            with suppress(BusyError), hold_lock(pad, workflow["_id"], patience):
                changed += _change_workflow(pad, workflow["_id"], before, after)
    return changed


def _change_workflow(pad: LaunchPad, workflow_id: Any, before: Sequence[str], after: str) -> int:
    """Give the jobs of one workflow, whose lock is held, another state."""
    workflow = pad.workflows.find_one({"_id": workflow_id}, {"fw_states": 1})
    recorded = _recorded(workflow)
    query = {"fw_id": {"$in": list(recorded)}, "state": {"$in": [*before, after, "READY"]}}
    chosen = _to_change(pad, list(pad.fireworks.find(query, FIELDS)), before)
    # a worker takes a job without the lock: one that it has taken meanwhile stays as it is
    unchanged = {"fw_id": {"$in": chosen}, "state": {"$in": list(before)}}
    update = {"$set": {"state": after, "updated_on": datetime.now(UTC)}}
    changed = pad.fireworks.update_many(unchanged, update).modified_count
    jobs = list(pad.fireworks.find(query, FIELDS))
    # FireWorks would write such a job's state anew, although a worker may have taken it by now
    ready = {f"fw_states.{number}": "READY" for number in _ready_untold(jobs, recorded)}
    if ready:
        pad.workflows.update_one({"_id": workflow_id}, {"$set": ready})
    untold = _untold(jobs, recorded, after)
    if untold:
        lazy_workflow = pad.get_wf_by_fw_id_lzyfw(untold[0])
        updated: set[int] = set()
        for number in untold:
            updated |= lazy_workflow.refresh(number)
        pad._update_wf(lazy_workflow, updated)
    return changed


def _to_change(pad: LaunchPad, jobs: Iterable[Document], before: Sequence[str]) -> list[int]:
    """Return the numbers of the jobs that are to leave these states."""
    return [
        job["fw_id"] for job in jobs if job["state"] in before and not must_wait(pad, job["spec"])
    ]


def _untold(jobs: Iterable[Document], recorded: dict[int, str], after: str) -> list[int]:
    """Return the numbers of the jobs in a state that their workflow does not know of."""
    return [
        job["fw_id"] for job in jobs if job["state"] == after and recorded[job["fw_id"]] != after
    ]


def _ready_untold(jobs: Iterable[Document], recorded: dict[int, str]) -> list[int]:
    """Return the numbers of the jobs that are READY, and kept for all that their workflow knows."""
    return [
        job["fw_id"]
        for job in jobs
        if job["state"] == "READY" and recorded[job["fw_id"]] in KEPT_STATES.values()
    ]


def _recorded(workflow: Document) -> dict[int, str]:
    """Return the states that a workflow has of its jobs, by their numbers."""
    return {int(number): state for number, state in workflow["fw_states"].items()}
