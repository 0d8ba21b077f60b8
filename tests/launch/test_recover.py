"""Each state that a killed worker leaves is built by hand in the launchpad, and mended."""

import pytest
from fireworks import FiretaskBase, Firework, FWAction, FWorker, Workflow, explicit_serialize

from entropy_flows.launch import recover
from entropy_flows.launch.recover import Mended
from entropy_flows.store import launchpad

DEAD, ALIVE = "ours-local-0", "ours-local-1"


@explicit_serialize
class Nothing(FiretaskBase):
    def run_task(self, fw_spec):
        return FWAction()


def job(name, parents=(), campaign="ours"):
    spec = {"campaign": campaign, "_allow_fizzled_parents": True}  # as jobflow sets it for what takes lost inputs
    return Firework([Nothing()], spec=spec, name=name, parents=list(parents))


@pytest.fixture
def pad(database, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pad = launchpad()
    pad.reset("", require_password=False, max_reset_wo_password=0)
    return pad


@pytest.fixture
def chain(pad):
    """One job after another: its ids."""
    first = job("first")
    pad.add_wf(Workflow([first, second := job("second", [first]), job("third", [second])]))
    return [pad.fireworks.find_one({"name": name})["fw_id"] for name in ("first", "second", "third")]


def start(pad, fw_id, worker=DEAD):
    """A worker takes a job; its launch."""
    fw, launch_id = pad.checkout_fw(FWorker(worker, query={"spec.campaign": "ours"}), "launcher", fw_id=fw_id)
    assert fw.fw_id == fw_id
    return launch_id


def end_launch(pad, launch_id, action=None, state="COMPLETED"):
    """What `complete_launch` writes before it refreshes the workflow."""
    done = {"state": state, "action": (action or FWAction()).to_dict()}
    pad.launches.update_one({"launch_id": launch_id}, {"$set": done})


def states(pad):
    """State of each job, the same in its own document and in its workflow."""
    found = {fw["name"]: fw["state"] for fw in pad.fireworks.find({}, {"name": 1, "state": 1})}
    names = {fw["fw_id"]: fw["name"] for fw in pad.fireworks.find({}, {"name": 1, "fw_id": 1})}
    for workflow in pad.workflows.find():
        for fw_id, state in workflow["fw_states"].items():
            assert found[names[int(fw_id)]] == state, names[int(fw_id)]
        assert "locked" not in workflow
    return found


def finish(pad, fw_id, worker=ALIVE):
    pad.complete_launch(start(pad, fw_id, worker), FWAction())


def test_nothing_to_mend(pad, chain):
    finish(pad, chain[0])
    before = list(pad.fireworks.find({}, {"updated_on": 0}))
    mended = recover(pad, "ours", [DEAD, ALIVE], alone=True)
    assert mended == Mended()
    assert not mended
    assert list(pad.fireworks.find({}, {"updated_on": 0})) == before


@pytest.mark.parametrize("alone", [True, False])
def test_killed_in_a_job(pad, chain, alone):
    finish(pad, chain[0])
    launch = start(pad, chain[1])
    assert states(pad) == {"first": "COMPLETED", "second": "RUNNING", "third": "WAITING"}
    mended = recover(pad, "ours", [DEAD], alone)
    assert mended == Mended(rerun=1)
    assert str(mended).startswith("1 lost jobs run again")
    assert states(pad) == {"first": "COMPLETED", "second": "READY", "third": "WAITING"}
    assert pad.launches.find_one({"launch_id": launch})["state"] == "FIZZLED"
    assert not recover(pad, "ours", [DEAD], alone)
    finish(pad, chain[1])
    assert states(pad)["third"] == "READY"


def test_jobs_after_a_lost_one_never_see_it_fail(pad, chain, monkeypatch):
    """A fizzled parent would let them start without its output; another worker might take one in that moment."""
    start(pad, chain[0])
    seen, update = [], pad._update_wf

    def watched(*args):
        update(*args)
        seen.extend(fw["state"] for fw in pad.fireworks.find({"name": {"$ne": "first"}}, {"state": 1}))

    monkeypatch.setattr(pad, "_update_wf", watched)
    recover(pad, "ours", [DEAD])
    assert len(seen) >= 2
    assert set(seen) == {"WAITING"}
    assert "_fizzled_parents" not in pad.fireworks.find_one({"name": "second"})["spec"]


def test_killed_while_taking_a_job(pad, chain):
    """The launch was written, the job not: another worker may have it by now."""
    launch = start(pad, chain[0])
    pad.fireworks.update_one({"fw_id": chain[0]}, {"$set": {"state": "READY", "launches": []}})
    pad.workflows.update_one({}, {"$set": {f"fw_states.{chain[0]}": "READY"}})
    start(pad, chain[0], ALIVE)
    assert recover(pad, "ours", [DEAD]) == Mended()
    assert states(pad)["first"] == "RUNNING"
    assert pad.launches.find_one({"launch_id": launch})["state"] == "FIZZLED"


def test_the_living_are_left_alone(pad, chain):
    launch = start(pad, chain[0], ALIVE)
    for alone in (True, False):
        assert not recover(pad, "ours", [DEAD], alone)
    assert states(pad)["first"] == "RUNNING"
    assert pad.launches.find_one({"launch_id": launch})["state"] == "RUNNING"


def test_other_campaigns_are_left_alone(pad):
    pad.add_wf(Workflow([job("theirs", campaign="theirs")]))
    _, launch = pad.checkout_fw(FWorker(DEAD), "launcher")
    pad.fireworks.insert_one({**job("orphan", campaign="theirs").to_db_dict(), "fw_id": 99})
    pad.workflows.update_one({}, {"$set": {"locked": True}})
    assert recover(pad, "ours", [DEAD], alone=True) == Mended()
    assert pad.workflows.find_one()["locked"]
    assert pad.launches.find_one({"launch_id": launch})["state"] == "RUNNING"
    assert pad.fireworks.count_documents({}) == 2


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize("state", ["COMPLETED", "FIZZLED"])
def test_killed_before_the_workflow_heard(pad, chain, alone, state):
    end_launch(pad, start(pad, chain[0]), state=state)
    assert states(pad)["first"] == "RUNNING"
    assert recover(pad, "ours", [DEAD], alone) == Mended(refreshed=1)
    assert states(pad) == {"first": state, "second": "READY", "third": "WAITING"}
    assert not recover(pad, "ours", [DEAD], alone)


@pytest.mark.parametrize("child", ["WAITING", "READY"])
def test_killed_between_the_job_and_its_workflow(pad, chain, child):
    """The jobs' own documents were saved, some or all; the workflow's was not, and its lock is held."""
    end_launch(pad, start(pad, chain[0]))
    pad.fireworks.update_one({"fw_id": chain[0]}, {"$set": {"state": "COMPLETED"}})
    pad.fireworks.update_one({"fw_id": chain[1]}, {"$set": {"state": child}})
    pad.workflows.update_one({}, {"$set": {"locked": True}})
    assert recover(pad, "ours", [DEAD], alone=True) == Mended(refreshed=1, unlocked=1)
    assert states(pad) == {"first": "COMPLETED", "second": "READY", "third": "WAITING"}
    assert not recover(pad, "ours", [DEAD], alone=True)


def test_locks_are_removed_only_when_alone(pad, chain):
    pad.workflows.update_one({}, {"$set": {"locked": True}})
    assert recover(pad, "ours", [DEAD]) == Mended()
    assert pad.workflows.find_one()["locked"]
    assert recover(pad, "ours", [DEAD], alone=True) == Mended(unlocked=1)
    assert "locked" not in pad.workflows.find_one()


@pytest.mark.parametrize("saved", ["RUNNING", "COMPLETED"])
@pytest.mark.parametrize("inserted", [1, 2])
def test_killed_while_adding_jobs(pad, chain, inserted, saved):
    """A detour's jobs were inserted, one or both, but no workflow has them."""
    detour = Workflow([label := job("label"), job("gather", [label])])
    end_launch(pad, start(pad, chain[0]), FWAction(detours=[detour]))
    for number, orphan in enumerate(detour.fws[:inserted]):
        document = {**orphan.to_db_dict(), "fw_id": 50 + number, "state": "READY" if number == 0 else "WAITING"}
        pad.fireworks.insert_one(document)
    pad.fireworks.update_one({"fw_id": chain[0]}, {"$set": {"state": saved}})
    pad.workflows.update_one({}, {"$set": {"locked": True}})

    mended = recover(pad, "ours", [DEAD], alone=True)
    assert mended == Mended(refreshed=1, unlocked=1, orphans=inserted)
    assert states(pad) == {
        "first": "COMPLETED",
        "label": "READY",
        "gather": "WAITING",
        "second": "WAITING",
        "third": "WAITING",
    }
    assert pad.fireworks.count_documents({}) == 5
    (workflow,) = pad.workflows.find()
    assert len(workflow["nodes"]) == 5
    finish(pad, pad.fireworks.find_one({"name": "label"})["fw_id"])
    finish(pad, pad.fireworks.find_one({"name": "gather"})["fw_id"])
    assert states(pad)["second"] == "READY"
    assert not recover(pad, "ours", [DEAD], alone=True)


def test_orphans_are_left_while_others_work(pad, chain):
    """What looks like one may be in the middle of being added."""
    pad.fireworks.insert_one({**job("new").to_db_dict(), "fw_id": 50, "state": "READY"})
    assert not recover(pad, "ours", [DEAD])
    assert pad.fireworks.count_documents({"fw_id": 50}) == 1
