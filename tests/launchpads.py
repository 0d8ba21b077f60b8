"""A launchpad with jobs that do nothing, and workers that take and end them step by step."""

import subprocess
import sys

from fireworks import FiretaskBase, Firework, FWAction, FWorker, Workflow, explicit_serialize

from entropy_flows.launch.fireworks_manager import FireWorksManager
from entropy_flows.launch.launchpad import launchpad

DEAD, ALIVE = "ours-local-0", "ours-local-1"


def new_launchpad():
    """The launchpad of a fresh database, as the first submission of a campaign prepares it.

    A plain `LaunchPad.reset` makes three times the indexes, which the embedded server pays for.
    """
    pad = launchpad()
    FireWorksManager(pad).prepare()
    return pad


def empty(pad):
    """Delete all jobs, and number the next ones from 1 again; the indexes stay."""
    for collection in (pad.fireworks, pad.launches, pad.workflows):
        collection.delete_many({})
    pad._restart_ids(1, 1)


@explicit_serialize
class Nothing(FiretaskBase):
    def run_task(self, fw_spec):
        return FWAction()


def job(name, parents=(), campaign="ours", **spec):
    return Firework(
        [Nothing()],
        spec={"campaign": campaign, "uuid": name, **spec},
        name=name,
        parents=list(parents),
    )


def ended_process():
    """Name of a process of this machine that has ended."""
    code = "from entropy_flows.processes import process_name; print(process_name())"
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


def chained(*names, **spec):
    """A workflow of one job after another."""
    jobs = []
    for name in names:
        jobs.append(job(name, jobs[-1:], **spec))
    return Workflow(jobs)


def number(pad, name):
    return pad.fireworks.find_one({"name": name})["fw_id"]


def take(pad, fw_id, worker=DEAD):
    """A worker takes a job; its launch."""
    fw, launch_id = pad.checkout_fw(
        FWorker(worker, query={"spec.campaign": "ours"}), "launcher", fw_id=fw_id
    )
    assert fw.fw_id == fw_id
    return launch_id


def finish(pad, fw_id, worker=ALIVE):
    pad.complete_launch(take(pad, fw_id, worker), FWAction())


def states(pad):
    """State of each job, the same in its document and in its workflow; none is locked."""
    jobs = {fw["fw_id"]: fw for fw in pad.fireworks.find({}, {"name": 1, "state": 1, "fw_id": 1})}
    told = {}
    for workflow in pad.workflows.find():
        assert "locked" not in workflow
        told |= {int(fw_id): state for fw_id, state in workflow["fw_states"].items()}
    assert told == {fw_id: fw["state"] for fw_id, fw in jobs.items()}
    found = {fw["name"]: fw["state"] for fw in jobs.values()}
    assert len(found) == len(jobs), "a job was added twice"
    return found
