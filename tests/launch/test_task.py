"""A stage's job under FireWorks, with workers as processes of their own: what they survive, and
what they refuse.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from fireworks import FWorker
from fireworks.core.rocket_launcher import launch_rocket, rapidfire
from jobflow import Flow
from launchpads import new_launchpad
from stage_jobs import child, fan_out, killed, parent, sleeper, writer

import entropy_flows.store.embedded as embedded
from entropy_flows import CampaignStore, load_campaign
from entropy_flows.jobs.common import with_stable_uuid
from entropy_flows.launch.launchpad import launchpad
from entropy_flows.launch.task import add_once, is_added, to_workflow
from entropy_flows.launch.worker import GIVEN_BACK
from entropy_flows.processes import child as process
from entropy_flows.settings import settings
from entropy_flows.store import connect

ROOT = Path(__file__).parents[2]


@pytest.fixture
def pad(database, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return prepared()


def prepared():
    campaign = load_campaign(ROOT / "examples" / "silicon_demo.yaml").model_copy(
        update={"name": "ours"}
    )
    CampaignStore.open("ours").create(campaign)
    pad = new_launchpad()
    return pad


def add(pad, *jobs):
    flow = Flow([with_stable_uuid(made, "ours", 1, number) for number, made in enumerate(jobs)])
    flow.update_metadata({"campaign": "ours"}, dynamic=True)
    assert add_once(pad, to_workflow(flow))
    return [made.uuid for made in jobs]


def run_here(pad):
    rapidfire(pad, FWorker("here"), nlaunches=0, strm_lvl="CRITICAL")


@contextmanager
def worker(tmp_path, **environment):
    """A worker process, as `entropy-flows run` starts it."""
    command = [
        sys.executable,
        "-m",
        "entropy_flows.launch.worker",
        "w",
        "ours",
        str(tmp_path / "launches"),
    ]
    variables = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tests"))),
        **environment,
    }
    with (
        (tmp_path / "worker.log").open("ab") as log,
        process(command, env=variables, stdout=log, stderr=log) as running,
    ):
        yield running


def output(tmp_path):
    files = [tmp_path / "worker.log", *(tmp_path / "launches").rglob("FW_job.error")]
    return "\n".join(file.read_text() for file in files if file.exists())


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.05)
    return value


def states(pad):
    return {fw["name"]: fw["state"] for fw in pad.fireworks.find({}, {"name": 1, "state": 1})}


def names(pad):
    return sorted(fw["name"] for fw in pad.fireworks.find())


def test_a_job_that_adds_jobs_adds_them_once(pad, tmp_path):
    add(pad, parent("ours", str(tmp_path / "p"), ["a", "b"]))
    run_here(pad)
    assert states(pad) == {"parent": "COMPLETED", "child": "COMPLETED"}
    ids = sorted(fw["fw_id"] for fw in pad.fireworks.find())
    pad.rerun_fw(ids[0])
    run_here(pad)
    assert sorted(fw["fw_id"] for fw in pad.fireworks.find()) == ids
    assert [len((tmp_path / f"p{name}").read_text()) for name in ("", "a", "b")] == [2, 2, 2]
    (workflow,) = pad.workflows.find()
    assert sorted(workflow["nodes"]) == ids


def test_an_addition_is_a_workflow_of_its_own_and_comes_once(pad, tmp_path):
    add(pad, parent("ours", str(tmp_path / "p"), ["a"], addition=True))
    run_here(pad)
    assert pad.workflows.count_documents({}) == 2
    pad.rerun_fw(1)
    run_here(pad)
    assert pad.workflows.count_documents({}) == 2
    assert names(pad) == ["child", "parent"]
    assert len((tmp_path / "pa").read_text()) == 1


def test_what_an_interrupted_addition_left_is_replaced(pad, tmp_path):
    add(pad, parent("ours", str(tmp_path / "p"), ["a", "b"], addition=True))
    run_here(pad)
    (added,) = [workflow for workflow in pad.workflows.find() if 1 not in workflow["nodes"]]
    pad.workflows.delete_one(
        {"_id": added["_id"]}
    )  # as if it had been killed before it wrote the workflow
    pad.fireworks.update_many({"name": "child"}, {"$set": {"state": "READY"}})
    pad.rerun_fw(1)
    run_here(pad)
    assert names(pad) == ["child", "child", "parent"]
    assert states(pad) == {"parent": "COMPLETED", "child": "COMPLETED"}


def test_the_jobs_that_jobs_add_can_be_found_and_run_safely(pad, tmp_path):
    add(pad, parent("ours", str(tmp_path / "p"), ["a"]))
    run_here(pad)
    for firework in pad.fireworks.find():
        assert firework["spec"]["campaign"] == "ours"
        assert firework["spec"]["uuid"] == json.loads(firework["spec"]["_tasks"][0]["job"])["uuid"]
        assert (
            firework["spec"]["_tasks"][0]["_fw_name"] == "{{entropy_flows.launch.task.StageTask}}"
        )


def test_the_same_flow_is_added_once(pad, tmp_path):
    flow = Flow([with_stable_uuid(child(str(tmp_path / "c")), "ours", 1)])
    assert not is_added(pad, to_workflow(flow))
    assert add_once(pad, to_workflow(flow))
    assert is_added(pad, to_workflow(flow))
    assert not add_once(pad, to_workflow(flow))
    assert pad.fireworks.count_documents({}) == 1


def test_a_wide_fan_out_is_several_workflows_and_one_job_waits_for_all(pad, tmp_path):
    add(pad, fan_out("ours", str(tmp_path / "f"), 7, 3), child(str(tmp_path / "other")))
    pad.update_spec(
        [fw["fw_id"] for fw in pad.fireworks.find({"name": "fan_out"})], {"_priority": 9}
    )
    run_here(pad)
    assert (
        tmp_path / "f-last"
    ).read_text() == "[[1, 1, 1], [1, 1, 1], [1]] "  # ran once, when all was there
    assert [len((tmp_path / f"f{n}").read_text()) for n in range(7)] == [1] * 7
    sizes = sorted(len(workflow["nodes"]) for workflow in pad.workflows.find())
    assert sizes == [2, 3, 4, 4]
    assert set(states(pad).values()) == {"COMPLETED"}


def test_the_gathering_job_pauses_until_the_last_chunk_is_there(pad, tmp_path):
    add(pad, fan_out("ours", str(tmp_path / "f"), 4, 2))
    worker = FWorker("here")
    launch_rocket(pad, worker)
    gathering = pad.fireworks.find_one(
        {"spec.awaited_jobs": {"$exists": True}, "spec.chunk": {"$exists": False}}
    )["fw_id"]
    launch_rocket(pad, worker, fw_id=gathering)
    assert pad.fireworks.find_one({"fw_id": gathering})["state"] == "PAUSED"
    pad.rerun_fw(1)  # and if what added the jobs is run again
    run_here(pad)
    assert (tmp_path / "f-last").read_text() == "[[1, 1], [1, 1]] "
    assert pad.fireworks.count_documents({}) == 8
    assert {fw["state"] for fw in pad.fireworks.find()} == {"COMPLETED"}


def test_sigterm_gives_the_job_back(pad, tmp_path):
    add(pad, sleeper(str(tmp_path / "s"), 60))
    with worker(tmp_path) as running:
        wait_for(lambda: (tmp_path / "s").exists())
        running.send_signal(signal.SIGTERM)
        assert running.wait(20) == GIVEN_BACK
    assert states(pad) == {"sleeper": "READY"}
    assert pad.launches.count_documents({"state": "RUNNING"}) == 0
    assert "was given back: the process was asked to end (SIGTERM)" in output(tmp_path)


def test_an_older_package_refuses_and_leaves_the_job_ready(pad, tmp_path):
    add(pad, sleeper(str(tmp_path / "s"), 0))
    connect()["campaigns"].update_one({}, {"$set": {"versions.entropy_flows": "99.0"}})
    with worker(tmp_path) as running:
        assert running.wait(60) == 1
    assert states(pad) == {"sleeper": "READY"}
    assert not (tmp_path / "s").exists()
    assert "99.0" in output(tmp_path)


def test_a_job_that_was_given_to_another_is_let_go(pad, tmp_path):
    add(pad, sleeper(str(tmp_path / "s"), 60))
    with worker(tmp_path, ENTROPY_FLOWS_HEARTBEAT="0.2") as running:
        wait_for(lambda: (tmp_path / "s").exists())
        pad.rerun_fw(1)  # as a repair would that takes it for lost
        assert running.wait(20) == 1
    assert states(pad) == {"sleeper": "READY"}
    assert "was given to another worker" in output(tmp_path)
    assert not (tmp_path / "s.done").exists()


def test_signs_of_life(pad, tmp_path):
    add(pad, sleeper(str(tmp_path / "s"), 60))

    def last_sign():
        launch = pad.launches.find_one() or {}
        return (launch.get("state_history") or [{}])[-1].get("updated_on")

    with worker(tmp_path, ENTROPY_FLOWS_HEARTBEAT="0.2"):
        wait_for(lambda: (tmp_path / "s").exists())
        first = wait_for(last_sign)
        wait_for(lambda: last_sign() != first)


def test_a_killed_worker_leaves_a_running_job(pad, tmp_path):
    """The state that a repair is for; nothing else may be claimed of it."""
    add(pad, killed(str(tmp_path / "k")))
    with worker(tmp_path) as running:
        assert running.wait(60) == -signal.SIGKILL
    assert states(pad) == {"killed": "RUNNING"}


@contextmanager
def database_at(port, folder):
    """A server that can be killed and started again at the same address."""
    script = Path(embedded.__file__).with_name("server.py")
    with process(
        [sys.executable, "-P", str(script), str(port), str(folder)], stderr=subprocess.DEVNULL
    ) as running:
        wait_for(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0)
        yield running


def test_the_database_goes_away_and_comes_back(tmp_path, monkeypatch):
    """One worker waits for it, for longer than pymongo does by itself, and one gives up at once."""
    port = embedded._free_port()
    monkeypatch.chdir(tmp_path)
    uri = f"mongodb://127.0.0.1:{port}/?retryWrites=false&serverSelectionTimeoutMS=1000"
    for name, value in {"URI": uri, "DATABASE": "away", "CACHE": str(tmp_path)}.items():
        monkeypatch.setenv(f"ENTROPY_FLOWS_{name}", value)
    settings.cache_clear()
    patient, hasty = tmp_path / "patient", tmp_path / "hasty"
    files = [tmp_path / "first", tmp_path / "second"]
    for folder in (tmp_path / "db", patient, hasty):
        folder.mkdir()
    with database_at(port, tmp_path / "db") as server:
        add(prepared(), *(writer(str(file), 4) for file in files))
        with (
            worker(patient, ENTROPY_FLOWS_PATIENCE="60"),
            worker(hasty, ENTROPY_FLOWS_PATIENCE="0") as giving_up,
        ):
            wait_for(lambda: all(file.exists() for file in files))
            wait_for(lambda: connect()["numbers"].count_documents({}) > 5)
            server.kill()
            assert giving_up.wait(120) != 0
            wait_for(lambda: "the database went away" in output(patient))
            with database_at(port, tmp_path / "db"):
                jobs = launchpad().fireworks
                wait_for(lambda: jobs.find_one({"state": "COMPLETED"}))
                # that of the other is left for a repair to find
                assert sorted(job["state"] for job in jobs.find()) == ["COMPLETED", "RUNNING"]
                assert sorted(len(file.read_text()) for file in files) == [1, 2]
    settings.cache_clear()
