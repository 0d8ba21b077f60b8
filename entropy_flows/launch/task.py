"""Run a stage's job under FireWorks, safe against the death of everything around it.

    SIGTERM                   the stage saves, the job is READY again, the process ends
    the database is away      wait for it, then do the job again; after the patience, end the
                              process: `repair` finds the job
    the job was taken away    the process ends: a repair has given its job to another, and the
                              database refuses whatever this one still writes (`store.fence`)
    an older package          the job is READY again, the process ends
    the campaign is held      the job is not begun, and kept from starting (`launch.holding`)
    run a second time         jobs it added the first time are not added again

So a job that is FIZZLED was failed by its machine, and can always be run again. One iteration is
one workflow, because FireWorks reads and writes the whole of it whenever one of its jobs changes
its state.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from fireworks import FWAction, LaunchPad, Workflow, explicit_serialize
from fireworks.utilities.fw_serializers import recursive_serialize, serialize_fw
from jobflow import Flow
from jobflow.managers.fireworks import JobFiretask, flow_to_workflow
from monty.json import MontyDecoder, jsanitize

from entropy_flows.faults import Terminated, handle_sigterm
from entropy_flows.launch.fanout import without_chunks
from entropy_flows.launch.heartbeat import Heartbeat
from entropy_flows.launch.holding import apply_hold
from entropy_flows.launch.job_log import JobLog
from entropy_flows.launch.launchpad import FireworkLaunch, RunningFirework, launchpad
from entropy_flows.launch.running import (
    abandon,
    exit_now,
    may_begin,
    retry_on_disconnect,
)
from entropy_flows.launch.waiting import let_go_on, must_wait, pause
from entropy_flows.launch.worker import GIVEN_BACK
from entropy_flows.modules import use_folder
from entropy_flows.progress import heard_by
from entropy_flows.store import CampaignStore, job_store
from entropy_flows.store.fence import LaunchLostError, check_launch, running
from entropy_flows.store.schema import OldWorkerError


@explicit_serialize
class StageTask(JobFiretask):
    """A jobflow job of a campaign."""

    @serialize_fw
    @recursive_serialize
    def to_dict(self) -> dict[str, Any]:
        """Write the task as the launchpad keeps it, with its job as a text.

        The worker that runs the job revives it, and nobody else. To revive a job imports the
        modules that it names, which whoever looks at the launchpad has no need of.
        """
        job = self["job"]
        if not isinstance(job, str):
            job = json.dumps(jsanitize(job.as_dict()))
        return {**self, "job": job}

    def run_task(self, fw_spec: dict[str, Any]) -> FWAction:
        """Run the job; the module's docstring lists what may happen meanwhile."""
        from jobflow import SETTINGS

        launch = launch_of(self.launchpad, self.fw_id)
        campaign = fw_spec["campaign"]
        job = RunningFirework(self.launchpad, launch)
        log = JobLog(job)
        with handle_sigterm():
            try:
                if not retry_on_disconnect(lambda: may_begin(campaign)):
                    retry_on_disconnect(lambda: keep(launch, self.launchpad, campaign))
                    return FWAction()
                heartbeat = Heartbeat(job, log, campaign)
                with heartbeat, running(launch), heard_by(log):
                    SETTINGS.JOB_STORE = job_store()
                    action = retry_on_disconnect(lambda: self._run(fw_spec))
                    log.end()
                    return action
            except LaunchLostError as lost:
                abandon(lost)
                raise  # where the process was not ended: in a test
            except (Terminated, OldWorkerError) as reason:
                code = GIVEN_BACK if isinstance(reason, Terminated) else 1
                release_job(launch, campaign, str(reason), code)
                raise

    def _run(self, fw_spec: dict[str, Any]) -> FWAction:
        """Do the job's work, and add the jobs that it asks for."""
        pad = self.launchpad
        if must_wait(pad, fw_spec):
            pause(pad, self.fw_id, fw_spec)
            return FWAction()
        use_folder(fw_spec.get("modules"))
        if isinstance(self["job"], str):
            self["job"] = json.loads(self["job"], cls=MontyDecoder)
        action = super().run_task(fw_spec)
        if action.detours or action.additions:
            # the output was refused to a launch that was lost; what FireWorks adds would not be
            check_launch(pad.db)
        if "chunk" in fw_spec:
            let_go_on(pad, {"spec.uuid": fw_spec["chunk"]})
        detours = []
        for workflow in action.detours:
            detours += self._detour(stage_workflow(workflow))
        action.detours = detours
        # FireWorks would add these again whenever the job runs again
        for workflow in action.additions:
            add_once(pad, stage_workflow(workflow))
        action.additions = []
        return action

    def _detour(self, workflow: Workflow) -> list[Workflow]:
        """Add a detour's chunks; return what is left to add to this job's own workflow."""
        chunks, rest = without_chunks(workflow)
        for chunk in chunks:
            add_once(self.launchpad, chunk)
        return [rest] if is_new(self.launchpad, rest) else []


def to_workflow(flow: Flow) -> Workflow:
    """Convert a campaign's flow to a workflow that FireWorks runs."""
    return stage_workflow(flow_to_workflow(flow))


def stage_workflow(workflow: Workflow) -> Workflow:
    """Have each job of a workflow run as a `StageTask` and be found by its uuid.

    Its category and what it asks of the queue get FireWorks' names.
    """
    for firework in workflow.fws:
        firework.tasks = [StageTask(task) for task in firework.tasks]
        spec = firework.spec
        spec["uuid"] = firework.tasks[0]["job"].uuid
        for name, firework_name in (("category", "_category"), ("queue", "_queueadapter")):
            if name in spec:
                spec[firework_name] = spec.pop(name)
    return workflow


def is_added(pad: LaunchPad, workflow: Workflow) -> bool:
    """Return True if these jobs are on the launchpad, in a workflow."""
    in_workflow = {"nodes": {"$in": _numbers_of(pad, workflow)}}
    return pad.workflows.find_one(in_workflow, {"_id": 1}) is not None


def add_once(pad: LaunchPad, workflow: Workflow) -> bool:
    """Add a workflow unless it is there; return True if it was added.

    What an interrupted addition left of it is deleted before.
    """
    if not is_new(pad, workflow):
        return False
    pad.add_wf(workflow)
    return True


def is_new(pad: LaunchPad, workflow: Workflow) -> bool:
    """Return True if these jobs are to be added; what an interrupted addition left is deleted."""
    if is_added(pad, workflow):
        return False
    pad.fireworks.delete_many({"fw_id": {"$in": _numbers_of(pad, workflow)}})
    return True


def keep(launch: FireworkLaunch, pad: LaunchPad, campaign: str) -> None:
    """Give a job back that was taken although its campaign is held."""
    pad.rerun_fw(launch.fw_id)
    apply_hold(pad, CampaignStore.open(campaign))


def release_job(launch: FireworkLaunch, campaign: str, reason: str, code: int = 1) -> None:
    """Make the running job READY for another worker, and end this process with an exit code.

    A job that is another worker's already stays with it. That of a campaign that is held is kept
    from starting.
    """
    # its own connection: the signal may have come in the middle of another one's work
    pad = launchpad()
    try:
        if launch.fence.holds(pad.db):
            pad.rerun_fw(launch.fw_id)
            pad.mark_fizzled(launch.number)
            apply_hold(pad, CampaignStore(pad.db, campaign))
        print(f"job {launch.fw_id} was given back: {reason}", file=sys.stderr, flush=True)
    finally:
        exit_now(code)


def launch_of(pad: LaunchPad, fw_id: int) -> FireworkLaunch:
    """Return the launch as which a job runs in this process, which has just taken it."""
    # FireWorks keeps the launches that this process has begun
    taken = [
        number for number, launch in pad.backup_launch_data.items() if launch["fw_id"] == fw_id
    ]
    if not taken:
        firework = pad.fireworks.find_one({"fw_id": fw_id}, {"launches": 1}) or {}
        taken = firework.get("launches", [])
    return FireworkLaunch(fw_id, max(taken, default=-1))


def _numbers_of(pad: LaunchPad, workflow: Workflow) -> list[int]:
    """Return FireWorks' numbers of a workflow's jobs, found by their uuids."""
    uuids = [firework.spec["uuid"] for firework in workflow.fws]
    jobs = pad.fireworks.find({"spec.uuid": {"$in": uuids}}, {"fw_id": 1})
    return [job["fw_id"] for job in jobs]
